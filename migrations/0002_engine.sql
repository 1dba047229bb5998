-- The engine's tables. A run's row carries its lease; every write of the engine is conditional on (id, term, epoch, boot_id).

-- Raised whenever the database may have lost its newest rows (a restored copy, a promoted standby): epochs could repeat,
-- (term, epoch) never does.
CREATE TABLE engine_terms (term BIGINT PRIMARY KEY, reason TEXT NOT NULL, at BIGINT NOT NULL);
INSERT INTO engine_terms (term, reason, at) VALUES (1, 'created', 0);

-- One count of claims for all runs: effectors compare tokens of different runs on one thing, such as a launch and the destroy
-- after it, so the later run's must be higher.
INSERT INTO counters (name, value) VALUES ('epoch', 0);

-- `due_at` is when the engine has to look at the run; null while only a person can bring it further.
-- `journal_seq` and `journal_hash` are the head of the run's journal.
CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    subject TEXT NOT NULL,
    actor TEXT NOT NULL,
    idem_key TEXT UNIQUE,
    state TEXT NOT NULL,
    cancelled TEXT,
    fault TEXT,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT,
    due_at BIGINT,
    boot_id TEXT,
    term BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    lease_until BIGINT,
    journal_seq BIGINT NOT NULL,
    journal_hash TEXT NOT NULL
);
CREATE INDEX runs_due ON runs (due_at);
CREATE INDEX runs_by_subject ON runs (subject, id);
CREATE INDEX runs_by_kind ON runs (kind, state, id);

CREATE TABLE run_steps (
    run_id TEXT NOT NULL REFERENCES runs (id),
    position BIGINT NOT NULL,
    step_key TEXT NOT NULL,
    spec TEXT NOT NULL,
    state TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    undo_attempt BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    unclear INTEGER NOT NULL,
    wake_at BIGINT,
    outputs TEXT,
    fault TEXT,
    note TEXT NOT NULL,
    waiting_for TEXT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT,
    PRIMARY KEY (run_id, position),
    UNIQUE (run_id, step_key)
);

-- One row an attempt, written before its effect. Without an outcome it is not known what became of it.
CREATE TABLE attempts (
    run_id TEXT NOT NULL REFERENCES runs (id),
    step_key TEXT NOT NULL,
    direction TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    op_id TEXT NOT NULL UNIQUE,
    term BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    begun_at BIGINT NOT NULL,
    settled_at BIGINT,
    outcome TEXT,
    fault TEXT,
    PRIMARY KEY (run_id, step_key, direction, attempt)
);

-- What happened, in order. Only ever appended to; each row's hash covers the one before.
CREATE TABLE run_journal (
    run_id TEXT NOT NULL REFERENCES runs (id),
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    type TEXT NOT NULL,
    body TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (run_id, seq)
);

CREATE TABLE run_signals (
    run_id TEXT NOT NULL REFERENCES runs (id),
    id TEXT NOT NULL,
    actor TEXT NOT NULL,
    request_id TEXT,
    body TEXT NOT NULL,
    at BIGINT NOT NULL,
    taken_at BIGINT,
    answer TEXT,
    PRIMARY KEY (run_id, id),
    UNIQUE (run_id, request_id)
);

-- Runs of one subject exclude each other. The row goes when its run ends.
CREATE TABLE run_locks (subject TEXT PRIMARY KEY, run_id TEXT NOT NULL, at BIGINT NOT NULL);
