-- Nodes, datacenters, environments and roles: what each is now, and every version there ever was. "BINARY" is SQLite's own
-- collation; the store makes one of that name in PostgreSQL, so both order text byte by byte.
CREATE TABLE objects (
    kind TEXT NOT NULL,
    name TEXT COLLATE "BINARY" NOT NULL,
    version BIGINT NOT NULL,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    removed_at BIGINT,
    PRIMARY KEY (kind, name)
);
-- `body` is null where the object was removed. `revision` is the audit's, given at the commit.
CREATE TABLE object_versions (
    kind TEXT NOT NULL,
    name TEXT COLLATE "BINARY" NOT NULL,
    version BIGINT NOT NULL,
    revision BIGINT,
    body TEXT,
    actor TEXT NOT NULL,
    note TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (kind, name, version)
);
CREATE INDEX object_versions_by_revision ON object_versions (revision, kind);
CREATE INDEX object_versions_under_way ON object_versions (kind, name) WHERE revision IS NULL;

-- What a node last reported of itself; not edited, not versioned.
CREATE TABLE node_facts (
    node TEXT COLLATE "BINARY" PRIMARY KEY,
    format TEXT NOT NULL,
    hash TEXT NOT NULL,
    body TEXT NOT NULL,
    at BIGINT NOT NULL
);

-- The search index, written in the transaction of what it is about. A document is one thing that can be found; a key is a
-- path inside documents of one kind, with the two short spellings that Chef's users know; a term is one value of one key.
INSERT INTO counters (name, value) VALUES ('document', 0);
INSERT INTO counters (name, value) VALUES ('key', 0);
CREATE TABLE index_documents (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT COLLATE "BINARY" NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (kind, name)
);
CREATE TABLE index_keys (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    path TEXT COLLATE "BINARY" NOT NULL,
    joined TEXT COLLATE "BINARY" NOT NULL,
    leaf TEXT COLLATE "BINARY" NOT NULL,
    UNIQUE (kind, path)
);
-- `number` is the value where it is one.
CREATE TABLE index_terms (
    key_id INTEGER NOT NULL,
    value TEXT COLLATE "BINARY" NOT NULL,
    document INTEGER NOT NULL,
    number DOUBLE PRECISION,
    PRIMARY KEY (key_id, value, document)
);
CREATE INDEX index_terms_by_document ON index_terms (document);
CREATE INDEX index_terms_by_number ON index_terms (key_id, number, document) WHERE number IS NOT NULL;

-- Apps can be looked at as of a revision too.
ALTER TABLE app_versions ADD COLUMN revision BIGINT;
UPDATE app_versions SET revision = 0;
CREATE INDEX app_versions_under_way ON app_versions (name) WHERE revision IS NULL;
