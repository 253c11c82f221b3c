"""Exit with 0 if a component of Airflow works: the health checks of docker-compose.yaml.

    python health.py URL COMPONENT

The URL answers with the health of components, in JSON. It uses no package: a check must be cheap.
"""

import http.client
import json
import sys
import urllib.error
import urllib.request


def check(url: str, component: str) -> None:
    """Ask once.

    :raises SystemExit: the answer does not say that the component is healthy; with the reason
    """
    try:
        with urllib.request.urlopen(url, timeout=8) as answer:  # noqa: S310 - the address is in the Compose file
            status = json.load(answer)[component]["status"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        sys.exit(f"{url} does not tell the health of '{component}': {error!r}")
    if status != "healthy":
        sys.exit(f"{url}: '{component}' is {status}.")


if __name__ == "__main__":
    check(*sys.argv[1:])
