"""What the website asks of the other services."""

import http.client
import json
from urllib.parse import quote, urlencode, urlsplit

TIMEOUT_SECONDS = 4


class ServiceError(Exception):
    """A service does not answer, or not as it should."""


class Services:
    def __init__(self, catalogue: str, reviews: str, covers: str, mailer: str = ""):
        self._catalogue, self._reviews, self._covers, self._mailer = catalogue, reviews, covers, mailer
        self._drawn = {}

    def healthy(self) -> bool:
        return ask(self._catalogue, "/healthz")[0] == 200

    def shelves(self) -> list:
        return self._json(self._catalogue, "/shelves")["shelves"]

    def books(self, shelf: str = "", text: str = "") -> list:
        return self._json(self._catalogue, "/books?" + urlencode({"shelf": shelf, "q": text}))["books"]

    def book(self, slug: str):
        return self._json(self._catalogue, "/books/" + quote(slug, safe=""), missing=None)

    def reviews(self, slug: str) -> list:
        """A book is worth showing without its reviews."""
        try:
            return self._json(self._reviews, "/reviews/" + quote(slug, safe=""))["reviews"]
        except ServiceError:
            return []

    def add_review(self, slug: str, form: dict) -> str:
        """Why the review was not taken; empty where it was."""
        body = urlencode({name: form.get(name, "") for name in ("reader", "stars", "text")})
        status, answer = ask(self._reviews, "/reviews/" + quote(slug, safe=""), body.encode())
        return "" if status == 201 else json.loads(answer).get("error", "it was not taken")

    def cover(self, book: dict) -> bytes:
        key = (book["title"], book["author"])
        if key not in self._drawn:
            status, body = ask(self._covers, "/cover.svg?" + urlencode({"title": key[0], "author": key[1]}))
            if status != 200:
                raise ServiceError(f"the covers answer {status}")
            self._drawn[key] = body
        return self._drawn[key]

    def confirm(self, to: str, book: dict) -> bool:
        """Whether a confirmation was queued."""
        if not self._mailer:
            return False
        text = f"Thank you.\n\nWe put aside for you: {book['title']} by {book['author']}, {book['price']}.\n"
        message = {"to": to, "subject": f"Your order: {book['title']}", "text": text}
        try:
            return ask(self._mailer, "/messages", json.dumps(message).encode())[0] == 202
        except ServiceError:
            return False

    def _json(self, base: str, path: str, **otherwise):
        status, body = ask(base, path)
        if status == 404 and "missing" in otherwise:
            return otherwise["missing"]
        if status != 200:
            raise ServiceError(f"{base}{path} answers {status}")
        return json.loads(body)


def ask(base: str, path: str, body: bytes = None) -> tuple:
    """Status and body of a GET, or of a POST where there is a body."""
    url = urlsplit(base)
    connection = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST" if body is not None else "GET", url.path.rstrip("/") + path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise ServiceError(f"{base} does not answer: {error}") from error
    finally:
        connection.close()
