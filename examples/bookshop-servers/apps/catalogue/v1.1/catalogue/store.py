"""The database: the only module that knows SQL."""

import psycopg2
import psycopg2.extras


_BOOKS = (
    "SELECT b.*, s.name AS shelf_name, o.price_pence AS offer_pence, o.label AS offer_label"
    " FROM book b JOIN shelf s ON s.slug = b.shelf LEFT JOIN offer o ON o.book = b.slug"
)


class StoreError(Exception):
    """The database cannot be used."""


class Store:
    """Books and shelves. Every call opens its own connection, so threads may share a store."""

    def __init__(self, url: str):
        self._url = url
        self.count()

    def _ask(self, sql: str, values: tuple = ()) -> list:
        try:
            connection = psycopg2.connect(self._url, connect_timeout=5)
            try:
                with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
                    cursor.execute(sql, values)
                    return [dict(row) for row in cursor.fetchall()]
            finally:
                connection.close()
        except psycopg2.Error as error:
            raise StoreError(str(error).strip()) from error

    def count(self) -> int:
        return self._ask("SELECT count(*) AS books FROM book")[0]["books"]

    def shelves(self) -> list:
        return self._ask(
            "SELECT s.slug, s.name, count(b.slug) AS books FROM shelf s LEFT JOIN book b ON b.shelf = s.slug"
            " GROUP BY s.slug ORDER BY s.position"
        )

    def books(self, shelf: str = "", text: str = "") -> list:
        rows = self._ask(
            _BOOKS
            + " WHERE (%s = '' OR b.shelf = %s) AND (%s = '' OR b.title ILIKE %s OR b.author ILIKE %s)"
            " ORDER BY s.position, b.year",
            (shelf, shelf, text, f"%{text}%", f"%{text}%"),
        )
        return [_view(row) for row in rows]

    def book(self, slug: str):
        rows = self._ask(_BOOKS + " WHERE b.slug = %s", (slug,))
        return _view(rows[0]) if rows else None


def _view(row: dict) -> dict:
    offer = None
    if row["offer_pence"] is not None:
        offer = {"price": pounds(row["offer_pence"]), "label": row["offer_label"]}
    return {
        "slug": row["slug"],
        "title": row["title"],
        "author": row["author"],
        "year": row["year"],
        "pages": row["pages"],
        "shelf": {"slug": row["shelf"], "name": row["shelf_name"]},
        "price": pounds(row["price_pence"]),
        "offer": offer,
        "blurb": row["blurb"],
    }


def pounds(pence: int) -> str:
    return f"£{pence // 100}.{pence % 100:02d}"
