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

-- From 1.1: reduced prices. A table of its own, because a column cannot be added twice.
CREATE TABLE IF NOT EXISTS offer (
    book        TEXT PRIMARY KEY REFERENCES book (slug),
    price_pence INTEGER NOT NULL CHECK (price_pence >= 0),
    label       TEXT NOT NULL
);

INSERT INTO shelf (slug, name, position) VALUES
    ('novels', 'Novels', 1),
    ('mystery', 'Mystery & the uncanny', 2),
    ('voyages', 'Voyages & wonders', 3),
    ('young', 'For young readers', 4),
    ('thought', 'Essays & thought', 5)
ON CONFLICT DO NOTHING;

-- From 1.1: adventures have a shelf of their own.
INSERT INTO shelf (slug, name, position) VALUES ('adventure', 'Adventure', 0) ON CONFLICT DO NOTHING;
UPDATE book SET shelf = 'adventure' WHERE slug IN ('moby-dick', 'treasure-island', 'around-the-world') AND shelf <> 'adventure';

-- The first offers; later ones are made by the shop and are left alone.
INSERT INTO offer (book, price_pence, label)
    SELECT slug, price_pence * 7 / 10, 'Book of the month' FROM book
    WHERE slug IN ('middlemarch', 'the-moonstone', 'walden') AND NOT EXISTS (SELECT 1 FROM offer);
