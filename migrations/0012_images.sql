-- What a stack is for: people, a member of a pool, a preview of a branch, or the making of an image.
ALTER TABLE stacks ADD COLUMN purpose TEXT NOT NULL DEFAULT 'person';

-- Images that nodes were kept as: written before they are made.
CREATE TABLE images (
    provider TEXT NOT NULL,
    key TEXT NOT NULL,
    family TEXT NOT NULL,
    state TEXT NOT NULL,
    external_id TEXT,
    bytes BIGINT,
    spec TEXT NOT NULL,
    stack TEXT NOT NULL,
    run TEXT,
    created_at BIGINT NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (provider, key)
);
CREATE INDEX images_by_family ON images (provider, family, state);
