-- Agents sign what they say, so it is their public keys that are kept.
ALTER TABLE nodes RENAME COLUMN key_hash TO public_key;

-- The agents of the inventory's nodes. A stack's node has its key in its own row.
CREATE TABLE agents (
    node TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    public_key TEXT NOT NULL,
    token TEXT NOT NULL,
    version TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at BIGINT,
    desired TEXT,
    applied TEXT,
    outcome TEXT,
    changed BIGINT NOT NULL,
    corrective BIGINT NOT NULL,
    disabled TEXT,
    reported_at BIGINT
);

-- The newest reports of each of them.
CREATE TABLE agent_reports (
    node TEXT NOT NULL REFERENCES agents (node),
    id TEXT NOT NULL,
    configuration TEXT NOT NULL,
    outcome TEXT NOT NULL,
    body TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (node, id)
);
CREATE INDEX agent_reports_by_time ON agent_reports (node, at);

-- What machines register with: for so many of them, until then, and only as nodes that fit.
CREATE TABLE agent_tokens (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    pattern TEXT NOT NULL,
    environment TEXT NOT NULL,
    datacenter TEXT NOT NULL,
    uses BIGINT NOT NULL,
    uses_left BIGINT NOT NULL,
    actor TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
