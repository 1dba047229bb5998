"""The addresses of the website."""

import hashlib
import hmac
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from storefront import pages
from storefront.services import ServiceError

STYLE = (Path(__file__).parent.parent / "static" / "style.css").read_bytes()
FORM_LIMIT = 16 * 1024


class Site:
    def __init__(self, services, key: bytes):
        self.services = services
        self._key = key

    def answer(self, method: str, target: str, form: dict) -> tuple:
        """Status, content type and body; for a redirect, the address as the body."""
        url = urlsplit(target)
        query = dict(parse_qsl(url.query))
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        try:
            return self._route(method, parts, query, form)
        except ServiceError as error:
            print(f"{target}: {error}", file=sys.stderr)
            return html(503, pages.sorry("The shop is taking stock", "One of its services does not answer. Try again in a moment."))

    def _route(self, method: str, parts: list, query: dict, form: dict) -> tuple:
        services = self.services
        if parts == ["healthz"]:
            return 200 if services.healthy() else 503, "text/plain", b"ok\n"
        if parts == ["style.css"]:
            return 200, "text/css", STYLE
        if method == "GET" and parts == [""]:
            shelf, text = query.get("shelf", ""), query.get("q", "").strip()
            return html(200, pages.front(services.shelves(), services.books(shelf, text), shelf, text))
        if len(parts) >= 2 and parts[0] in ("books", "covers"):
            slug = parts[1][:-4] if parts[0] == "covers" and parts[1].endswith(".svg") else parts[1]
            book = services.book(slug)
            if book and parts[0] == "covers":
                return 200, "image/svg+xml", services.cover(book)
            if book and len(parts) == 2:
                return html(200, self._book(book, query))
            if book and method == "POST" and len(parts) == 3:
                return self._post(book, parts[2], form)
        return html(404, pages.sorry("Not on our shelves", "There is no such page. The books are all on the front page."))

    def _book(self, book: dict, query: dict) -> str:
        return pages.book(book, self.services.reviews(book["slug"]), self.sign(book["slug"]), query.get("said", ""))

    def _post(self, book: dict, verb: str, form: dict) -> tuple:
        slug = book["slug"]
        if not hmac.compare_digest(form.get("key", ""), self.sign(slug)):
            return html(403, pages.sorry("That form is stale", "Open the book's page again and send the form from there."))
        if verb == "review":
            said = self.services.add_review(slug, form) or "Thank you for your review."
        elif verb == "order" and "@" in form.get("to", ""):
            queued = self.services.confirm(form["to"].strip(), book)
            said = "It is put aside for you." + (" A confirmation is on its way." if queued else "")
        else:
            said = "We need your address to confirm the order."
        return 303, "", f"/books/{quote(slug)}?said={quote(said)}".encode()

    def sign(self, slug: str) -> str:
        return hmac.new(self._key, slug.encode(), hashlib.sha256).hexdigest()[:32]


def html(status: int, page: str) -> tuple:
    return status, "text/html", page.encode()


def serve(site: Site, host: str, port: int) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.reply("GET", {})

        def do_POST(self):
            length = min(int(self.headers.get("Content-Length") or 0), FORM_LIMIT)
            self.reply("POST", dict(parse_qsl(self.rfile.read(length).decode("utf-8", "replace"))))

        def reply(self, method: str, form: dict):
            began = time.monotonic()
            status, kind, body = site.answer(method, self.path, form)
            self.send_response(status)
            if status == 303:
                self.send_header("Location", body.decode())
                body = b""
            else:
                self.send_header("Content-Type", kind if kind.startswith("image/") else f"{kind}; charset=utf-8")
            if kind == "image/svg+xml":
                self.send_header("Cache-Control", "max-age=60")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            if self.path != "/healthz":
                print(f"{method} {self.path} {status} {(time.monotonic() - began) * 1000:.1f} ms", file=sys.stderr)

        def log_message(self, format, *args):
            pass

    ThreadingHTTPServer((host, port), Handler).serve_forever()
