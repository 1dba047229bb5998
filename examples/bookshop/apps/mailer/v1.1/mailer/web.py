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


STYLE = """
:root { color-scheme: light dark; --card: #fff; --line: #ddd3c2; --paper: #f7f2e8; --ink: #2b2620; --soft: #786c5c }
@media (prefers-color-scheme: dark) { :root { --card: #26221d; --line: #40392f; --paper: #1b1815; --ink: #efe7da; --soft: #a89b88 } }
body { font: 16px/1.55 Georgia, serif; background: var(--paper); color: var(--ink); max-width: 46rem; margin: 0 auto; padding: 2rem 1rem }
article { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.25rem; margin: 1rem 0 }
h2 { margin: 0; font-size: 1.1rem } .to, .note { color: var(--soft); font-size: .9rem }
pre { white-space: pre-wrap; font: inherit; margin: .75rem 0 0; border-top: 1px solid var(--line); padding-top: .75rem }
"""


def outbox_page(queue) -> str:
    cards = []
    for file in queue.written()[:200]:
        mail = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        cards.append(
            f"<article><h2>{html.escape(mail['Subject'] or '')}</h2>"
            f"<div class='to'>to {html.escape(mail['To'] or '')}</div>"
            f"<pre>{html.escape(mail.get_content().strip())}</pre></article>"
        )
    listed = "".join(cards) or "<p>No message yet. Order a book in the shop.</p>"
    count = f"{len(cards)} message{'' if len(cards) == 1 else 's'}"
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>Outbox</title><style>{STYLE}</style><body><h1>Outbox</h1>"
        f"<p class='note'>{count}. Nothing here was sent to anyone.</p>{listed}</body></html>"
    )
