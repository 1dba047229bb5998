"""The database: the only module that knows SQL."""

import sqlite3
from pathlib import Path


class StoreError(Exception):
    """The database cannot be used."""


class Store:
    """Books and shelves. Every call opens its own connection, so threads may share a store."""

    def __init__(self, path: str):
        if not Path(path).exists():
            raise StoreError(f"there is no database at {path}; make one from schema.sql")
        self._path = path
        try:
            self.count()
        except sqlite3.Error as error:
            raise StoreError(f"the database {path} cannot be read: {error}") from error

    def _ask(self, sql: str, values: tuple = ()) -> list:
        connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=5)
        try:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, values)]
        finally:
            connection.close()

    def count(self) -> int:
        return self._ask("SELECT count(*) AS books FROM book")[0]["books"]

    def shelves(self) -> list:
        return self._ask(
            "SELECT s.slug, s.name, count(b.slug) AS books FROM shelf s LEFT JOIN book b ON b.shelf = s.slug"
            " GROUP BY s.slug ORDER BY s.position"
        )

    def books(self, shelf: str = "", text: str = "") -> list:
        rows = self._ask(
            "SELECT b.*, s.name AS shelf_name FROM book b JOIN shelf s ON s.slug = b.shelf"
            " WHERE (? = '' OR b.shelf = ?) AND (? = '' OR b.title LIKE ? OR b.author LIKE ?)"
            " ORDER BY s.position, b.year",
            (shelf, shelf, text, f"%{text}%", f"%{text}%"),
        )
        return [_view(row) for row in rows]

    def book(self, slug: str):
        rows = self._ask(
            "SELECT b.*, s.name AS shelf_name FROM book b JOIN shelf s ON s.slug = b.shelf WHERE b.slug = ?", (slug,)
        )
        return _view(rows[0]) if rows else None


def _view(row: dict) -> dict:
    return {
        "slug": row["slug"],
        "title": row["title"],
        "author": row["author"],
        "year": row["year"],
        "pages": row["pages"],
        "shelf": {"slug": row["shelf"], "name": row["shelf_name"]},
        "price": pounds(row["price_pence"]),
        "blurb": row["blurb"],
    }


def pounds(pence: int) -> str:
    return f"£{pence // 100}.{pence % 100:02d}"
