"""Starts a process of the mailer: python3 -m mailer web|worker."""

import os
import signal
import sys
from pathlib import Path

from mailer import VERSION
from mailer.queue import Queue


def main(arguments: list) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    queue = Queue(Path(os.environ.get("MAIL_FOLDER", "mail")))
    if arguments == ["worker"]:
        from mailer.worker import work

        print(f"mailer {VERSION}: worker on {queue.folder}", file=sys.stderr)
        work(queue, os.environ.get("MAIL_FROM", "shop@example.org"))
    elif arguments == ["web"]:
        from mailer.web import serve

        host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8004"))
        print(f"mailer {VERSION}: listening on {host}:{port}", file=sys.stderr)
        serve(queue, host, port)
    else:
        print("usage: python3 -m mailer web|worker", file=sys.stderr)
        return 2
    return 0


try:
    sys.exit(main(sys.argv[1:]))
except OSError as error:
    sys.exit(f"mailer: {error}")
except KeyboardInterrupt:
    pass
