import sqlite3
import tempfile
import unittest
from pathlib import Path

from catalogue.api import answer
from catalogue.store import Store, StoreError, pounds

ROOT = Path(__file__).parent.parent


class Catalogue(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "test.sqlite"
        connection = sqlite3.connect(path)
        for _ in range(2):  # the schema may be run again
            connection.executescript((ROOT / "schema.sql").read_text())
        connection.executescript((ROOT / "fixtures/books.sql").read_text())
        connection.close()
        self.store = Store(str(path))

    def tearDown(self):
        self.folder.cleanup()

    def test_books_are_found_by_shelf_and_by_text(self):
        status, body = answer(self.store, "/books?shelf=mystery")
        self.assertEqual(status, 200)
        self.assertTrue(all(book["shelf"]["slug"] == "mystery" for book in body["books"]))
        _, body = answer(self.store, "/books?q=verne")
        self.assertEqual({book["author"] for book in body["books"]}, {"Jules Verne"})

    def test_an_unknown_book_is_not_found(self):
        self.assertEqual(answer(self.store, "/books/nothing")[0], 404)

    def test_a_missing_database_is_an_error_that_says_so(self):
        with self.assertRaisesRegex(StoreError, "there is no database"):
            Store("/nowhere/at-all.sqlite")

    def test_prices_have_two_decimals(self):
        self.assertEqual(pounds(905), "£9.05")


if __name__ == "__main__":
    unittest.main()
