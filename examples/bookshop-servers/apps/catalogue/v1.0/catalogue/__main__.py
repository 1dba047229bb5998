"""Starts the catalogue: python3 -m catalogue."""

import os
import signal
import sys

from catalogue import VERSION
from catalogue.api import serve
from catalogue.store import Store, StoreError


def main() -> int:
    host = os.environ.get("HOST", "127.0.0.1")
    port = int(os.environ.get("PORT", "8001"))
    url = os.environ.get("DATABASE_URL", "postgres:///catalogue")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        store = Store(url)
        print(f"catalogue {VERSION}: {store.count()} books, listening on {host}:{port}", file=sys.stderr)
        serve(store, host, port)
    except StoreError as error:
        print(f"catalogue: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"catalogue: cannot listen on {host}:{port}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


sys.exit(main())
