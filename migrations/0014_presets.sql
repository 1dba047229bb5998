-- Launches that people keep under a name, and how the pool of each is doing.
CREATE TABLE presets (
    name TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    body TEXT NOT NULL,
    owner TEXT NOT NULL REFERENCES users (id),
    updated_at BIGINT NOT NULL,
    paused INTEGER NOT NULL DEFAULT 0,
    failures BIGINT NOT NULL DEFAULT 0,
    last_failure TEXT,
    retry_at BIGINT,
    -- Until when one of the servers looks after the pool.
    tended_until BIGINT NOT NULL DEFAULT 0
);

-- The preset and its version that a member of a pool was made for.
ALTER TABLE stacks ADD COLUMN preset TEXT;
ALTER TABLE stacks ADD COLUMN preset_version BIGINT;
-- What whoever took it from a pool called the launch by, so that a repetition takes no second one.
ALTER TABLE stacks ADD COLUMN claim_key TEXT;
CREATE UNIQUE INDEX stacks_by_claim_key ON stacks (claim_key);
CREATE INDEX stacks_by_preset ON stacks (preset, purpose);
