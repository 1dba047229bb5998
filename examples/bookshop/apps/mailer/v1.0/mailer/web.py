"""The queue endpoint, and a page that shows the outbox."""

import email
import email.policy
import html
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LIMIT = 64 * 1024


def serve(queue, host: str, port: int) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if self.path == "/healthz":
                self.reply(200, "application/json", '{"ok": true}')
            elif self.path == "/":
                self.reply(200, "text/html", outbox_page(queue))
            else:
                self.reply(404, "application/json", '{"error": "there is nothing here"}')

        def do_POST(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(min(length, LIMIT))
            if self.path != "/messages" or length > LIMIT:
                status, answer = (413, {"error": "too long"}) if length > LIMIT else (404, {"error": "there is nothing here"})
                self.close_connection = True
            else:
                try:
                    status, answer = 202, {"queued": queue.put(json.loads(body))}
                except (ValueError, AttributeError) as error:
                    status, answer = 400, {"error": str(error)}
            self.reply(status, "application/json", json.dumps(answer))
            print(f"POST {self.path} {status}", file=sys.stderr)

        def reply(self, status: int, kind: str, text: str):
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format, *args):
            pass

    ThreadingHTTPServer((host, port), Handler).serve_forever()


def outbox_page(queue) -> str:
    rows = []
    for file in queue.written()[:200]:
        mail = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        rows.append(f"<li><b>{html.escape(mail['Subject'] or '')}</b> to {html.escape(mail['To'] or '')}</li>")
    listed = "<ul>" + "".join(rows) + "</ul>" if rows else "<p>No message yet. Order a book in the shop.</p>"
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Outbox</title>"
        "<body style='font: 16px/1.5 sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem'>"
        f"<h1>Outbox</h1><p>Nothing here was sent to anyone.</p>{listed}</body></html>"
    )
