"""Messages as files: a folder for those that wait, one for those that were written."""

import json
import os
import time
import uuid
from pathlib import Path

FIELDS = ("to", "subject", "text")


class Queue:
    def __init__(self, folder: Path):
        self.folder = folder
        self.waiting = folder / "queue"
        self.outbox = folder / "outbox"
        self.waiting.mkdir(parents=True, exist_ok=True)
        self.outbox.mkdir(parents=True, exist_ok=True)

    def put(self, message: dict) -> str:
        """Queues a message; it is whole on disk, or not there at all."""
        for field in FIELDS:
            if not isinstance(message.get(field), str) or not message[field].strip():
                raise ValueError(f"a message has a {field!r}")
            if field != "text" and "\n" in message[field]:
                raise ValueError(f"{field!r} must be one line")
        name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
        part = self.waiting / f".{name}.part"
        part.write_text(json.dumps({field: message[field] for field in FIELDS}))
        os.replace(part, self.waiting / f"{name}.json")
        return name

    def take(self):
        """The oldest waiting message and its file, or nothing."""
        for file in sorted(self.waiting.glob("*.json")):
            return file, json.loads(file.read_text())
        return None

    def written(self) -> list:
        return sorted(self.outbox.glob("*.eml"), reverse=True)
