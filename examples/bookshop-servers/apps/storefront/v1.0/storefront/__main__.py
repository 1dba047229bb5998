"""Starts the website: python3 -m storefront."""

import os
import signal
import sys

from storefront import VERSION
from storefront.cache import CachedServices
from storefront.site import Site, serve


def main() -> int:
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000"))
    missing = [name for name in ("CATALOGUE_URL", "REVIEWS_URL", "COVERS_URL") if not os.environ.get(name)]
    if missing:
        print(f"storefront: set {', '.join(missing)}", file=sys.stderr)
        return 2
    services = CachedServices(
        redis_host=os.environ.get("REDIS_HOST", "127.0.0.1"),
        catalogue=os.environ["CATALOGUE_URL"],
        reviews=os.environ["REVIEWS_URL"],
        covers=os.environ["COVERS_URL"],
        mailer=os.environ.get("MAILER_URL", ""),
    )
    key = os.environ.get("SESSION_KEY", "").encode() or os.urandom(32)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"storefront {VERSION}: listening on {host}:{port}", file=sys.stderr)
    try:
        serve(Site(services, key), host, port)
    except OSError as error:
        print(f"storefront: cannot listen on {host}:{port}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


sys.exit(main())
