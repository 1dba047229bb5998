"""The worker: takes queued messages and writes them to the outbox."""

import os
import sys
import time
from email.message import EmailMessage

PAUSE_SECONDS = 0.2


def work(queue, sender: str) -> None:
    while True:
        taken = queue.take()
        if taken is None:
            time.sleep(PAUSE_SECONDS)
            continue
        file, message = taken
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = sender, message["to"], message["subject"]
        mail.set_content(message["text"])
        target = queue.outbox / f"{file.stem}.eml"
        part = target.with_suffix(".part")
        part.write_bytes(bytes(mail))
        os.replace(part, target)
        # Only now: a worker that is stopped in between writes the same message to the same name again.
        file.unlink()
        print(f"wrote {target.name}: {message['subject']!r} to {message['to']}", file=sys.stderr)
