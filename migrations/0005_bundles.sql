-- Bundles: the files of recipes that belong together, named by the hash of them, never changed. `files` is a JSON map from
-- file name to text.
CREATE TABLE bundles (
    hash TEXT PRIMARY KEY,
    files TEXT NOT NULL,
    file_count BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    note TEXT NOT NULL,
    actor TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX bundles_by_age ON bundles (created_at, hash);
