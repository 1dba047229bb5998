-- One text for SQLite and PostgreSQL. TEXT, BIGINT and INTEGER only; times are milliseconds; JSON is TEXT; flags are 0/1.

CREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL);
INSERT INTO counters (name, value) VALUES ('revision', 0);

CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);

-- One row for each write that someone asked for; `revision` orders them. The engine's own progress is in its journal.
CREATE TABLE audit (
    revision BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    verb TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX audit_by_subject ON audit (subject, revision);

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    password TEXT,
    created_at BIGINT NOT NULL,
    disabled_at BIGINT
);

-- Only hashes of secrets are stored: sessions, API tokens, one-time links, node keys.
CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    used_at BIGINT,
    revoked_at BIGINT
);
CREATE TABLE sessions (
    hash TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE TABLE login_links (
    hash TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);

-- The current descriptor of each app, and every version ever accepted.
CREATE TABLE apps (
    name TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    descriptor TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    removed_at BIGINT
);
CREATE TABLE app_versions (
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    source TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    actor TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (name, version)
);

-- `live_name` is the name while it is taken: freed when destruction is asked for, not when it ends.
CREATE TABLE stacks (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    live_name TEXT UNIQUE,
    owner TEXT NOT NULL REFERENCES users (id),
    provider TEXT NOT NULL,
    state TEXT NOT NULL,
    spec TEXT NOT NULL,
    previous TEXT,
    node TEXT,
    links TEXT NOT NULL,
    fault TEXT,
    run TEXT,
    created_at BIGINT NOT NULL,
    ready_at BIGINT,
    lease_until BIGINT NOT NULL,
    lease_max BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE INDEX stacks_by_owner ON stacks (owner, created_at);
CREATE INDEX stacks_by_state ON stacks (state, lease_until);

-- A node's row is written before its provider is asked for it, and stays until the provider says it is gone.
CREATE TABLE nodes (
    id TEXT PRIMARY KEY,
    stack TEXT NOT NULL REFERENCES stacks (id),
    provider TEXT NOT NULL,
    state TEXT NOT NULL,
    spec TEXT NOT NULL,
    handle TEXT,
    facts TEXT,
    bootstrap_hash TEXT,
    key_hash TEXT,
    desired TEXT,
    desired_run TEXT,
    desired_step TEXT,
    created_at BIGINT NOT NULL,
    seen_at BIGINT,
    gone_at BIGINT
);
CREATE INDEX nodes_by_stack ON nodes (stack);
CREATE INDEX nodes_by_state ON nodes (state);

CREATE TABLE configurations (hash TEXT PRIMARY KEY, body TEXT NOT NULL, created_at BIGINT NOT NULL);

-- The newest report of a node for each configuration.
CREATE TABLE reports (
    node TEXT NOT NULL REFERENCES nodes (id),
    configuration TEXT NOT NULL,
    id TEXT NOT NULL,
    outcome TEXT NOT NULL,
    body TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (node, configuration)
);

-- Databases made in servers that other things live in too: written before they are made.
CREATE TABLE databases (
    id TEXT PRIMARY KEY,
    stack TEXT NOT NULL REFERENCES stacks (id),
    app TEXT NOT NULL,
    resource TEXT NOT NULL,
    server TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    gone_at BIGINT,
    UNIQUE (stack, app, resource)
);

-- Secrets of one stack, made at random for it; removed with it.
CREATE TABLE secrets (
    stack TEXT NOT NULL REFERENCES stacks (id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (stack, name)
);

-- Logs as chunks. A writer numbers its own chunks, so a chunk sent twice is stored once.
CREATE TABLE log_chunks (
    stream TEXT NOT NULL,
    seq BIGINT NOT NULL,
    writer TEXT NOT NULL,
    writer_seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (stream, seq),
    UNIQUE (stream, writer, writer_seq)
);
