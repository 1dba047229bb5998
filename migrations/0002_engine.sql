-- The engine's durable state. Every write of a running run is conditional on (owner, term, epoch).

INSERT INTO settings (name, value) VALUES ('term', '1');

CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    subject TEXT NOT NULL,
    actor TEXT NOT NULL,
    idem_key TEXT UNIQUE,
    state TEXT NOT NULL,
    ended INTEGER NOT NULL,
    cancelled TEXT,
    fault TEXT,
    owner TEXT,
    term BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT
);
CREATE INDEX runs_by_subject ON runs (subject, id);
CREATE INDEX runs_by_end ON runs (ended, lease_until);
CREATE INDEX runs_by_kind ON runs (kind, state, ended_at);

CREATE TABLE run_steps (
    run TEXT NOT NULL REFERENCES runs (id),
    ordinal BIGINT NOT NULL,
    step TEXT NOT NULL,
    spec TEXT NOT NULL,
    state TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    undo_attempt BIGINT NOT NULL,
    touched INTEGER NOT NULL,
    wake_at BIGINT,
    outputs TEXT,
    fault TEXT,
    reason TEXT,
    started_at BIGINT,
    ended_at BIGINT,
    PRIMARY KEY (run, step)
);

-- Written before an effect, settled after it: a row without an outcome is in doubt.
CREATE TABLE attempts (
    op_id TEXT PRIMARY KEY,
    run TEXT NOT NULL REFERENCES runs (id),
    step TEXT NOT NULL,
    direction TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    term BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    intent_at BIGINT NOT NULL,
    settled_at BIGINT,
    outcome TEXT
);
CREATE INDEX attempts_by_run ON attempts (run, settled_at);

-- What happened, append-only; each row holds the hash of the one before it.
CREATE TABLE journal (
    run TEXT NOT NULL REFERENCES runs (id),
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    type TEXT NOT NULL,
    body TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (run, seq)
);

-- What people said to a run; `request_id` makes saying it twice saying it once.
CREATE TABLE signals (
    id TEXT PRIMARY KEY,
    run TEXT NOT NULL REFERENCES runs (id),
    body TEXT NOT NULL,
    actor TEXT NOT NULL,
    request_id TEXT UNIQUE,
    at BIGINT NOT NULL,
    consumed_at BIGINT
);
CREATE INDEX signals_by_run ON signals (run, consumed_at);
