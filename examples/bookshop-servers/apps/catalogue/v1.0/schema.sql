-- Run at every start of a release; running it again changes nothing.
CREATE TABLE IF NOT EXISTS shelf (
    slug     TEXT PRIMARY KEY,
    name     TEXT NOT NULL,
    position INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS book (
    slug        TEXT PRIMARY KEY,
    title       TEXT NOT NULL,
    author      TEXT NOT NULL,
    year        INTEGER NOT NULL,
    shelf       TEXT NOT NULL REFERENCES shelf (slug),
    pages       INTEGER NOT NULL CHECK (pages > 0),
    price_pence INTEGER NOT NULL CHECK (price_pence >= 0),
    blurb       TEXT NOT NULL
);

CREATE INDEX IF NOT EXISTS book_by_shelf ON book (shelf, title);

INSERT INTO shelf (slug, name, position) VALUES
    ('novels', 'Novels', 1),
    ('mystery', 'Mystery & the uncanny', 2),
    ('voyages', 'Voyages & wonders', 3),
    ('young', 'For young readers', 4),
    ('thought', 'Essays & thought', 5)
ON CONFLICT DO NOTHING;
