"""The JSON API."""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from catalogue.store import StoreError


def serve(store, host: str, port: int) -> None:
    """Serves until the process is told to stop."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            began = time.monotonic()
            try:
                status, body = answer(store, self.path)
            except StoreError as error:
                status, body = 503, {"error": f"the database does not answer: {error}"}
            data = json.dumps(body, ensure_ascii=False).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            if self.path != "/healthz":
                took = (time.monotonic() - began) * 1000
                print(f"GET {self.path} {status} {took:.1f} ms", file=sys.stderr)

        def log_message(self, format, *args):
            pass

    ThreadingHTTPServer((host, port), Handler).serve_forever()


def answer(store, target: str):
    """Status and body for a GET of this target."""
    url = urlsplit(target)
    query = {key: values[0] for key, values in parse_qs(url.query).items()}
    parts = [unquote(part) for part in url.path.strip("/").split("/")]
    if parts == ["healthz"]:
        return 200, {"ok": True, "books": store.count()}
    if parts == ["shelves"]:
        return 200, {"shelves": store.shelves()}
    if parts == ["books"]:
        return 200, {"books": store.books(query.get("shelf", ""), query.get("q", ""))}
    if len(parts) == 2 and parts[0] == "books":
        book = store.book(parts[1])
        return (200, book) if book else (404, {"error": f"there is no book {parts[1]!r}"})
    return 404, {"error": "there is nothing here; try /books or /shelves"}
