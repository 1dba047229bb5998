import unittest

from storefront.services import ServiceError
from storefront.site import Site

BOOK = {
    "slug": "emma", "title": "Emma <3", "author": "Jane Austen", "year": 1815, "pages": 474, "price": "£8.99",
    "shelf": {"slug": "novels", "name": "Novels"}, "blurb": "Handsome, clever and rich.",
}


class Fake:
    down = False

    def shelves(self):
        return [{"slug": "novels", "name": "Novels", "books": 1}]

    def books(self, shelf="", text=""):
        if self.down:
            raise ServiceError("down")
        return [BOOK]

    def book(self, slug):
        return BOOK if slug == "emma" else None

    def reviews(self, slug):
        return []

    def ratings(self):
        return {}

    def confirm(self, to, book):
        return True


class Pages(unittest.TestCase):
    def setUp(self):
        self.services = Fake()
        self.site = Site(self.services, b"key")

    def test_titles_are_escaped(self):
        status, _, page = self.site.answer("GET", "/", {})
        self.assertEqual(status, 200)
        self.assertIn(b"Emma &lt;3", page)

    def test_a_missing_service_gives_a_page_that_says_so(self):
        self.services.down = True
        self.assertEqual(self.site.answer("GET", "/", {})[0], 503)

    def test_an_order_needs_the_key_of_its_form(self):
        form = {"to": "ada@example.org", "key": self.site.sign("emma")}
        self.assertEqual(self.site.answer("POST", "/books/emma/order", form)[0], 303)
        self.assertEqual(self.site.answer("POST", "/books/emma/order", {"to": "ada@example.org"})[0], 403)

    def test_an_unknown_book_is_not_found(self):
        self.assertEqual(self.site.answer("GET", "/books/nothing", {})[0], 404)


if __name__ == "__main__":
    unittest.main()
