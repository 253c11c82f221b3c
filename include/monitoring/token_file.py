"""Keep a token of Airflow in a file, for Prometheus: Airflow's tokens expire, and Prometheus cannot log in by itself.

It runs until it is stopped, and needs nothing but Python. From the environment it takes:

- ``AIRFLOW_API_URL``: root of the API server, such as ``http://airflow-apiserver:8080``
- ``AIRFLOW_METRICS_USER``: a user who may read the DAG ``pattern_sync_full``; no other right is needed
- ``AIRFLOW_METRICS_PASSWORD_FILE``: a file with that user's password
- ``AIRFLOW_METRICS_TOKEN_FILE``: the file to write, which Prometheus names as ``authorization.credentials_file``
- ``AIRFLOW_METRICS_TOKEN_SECONDS``: how often a new token is fetched; 3,600 if it is not set
"""

import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

RETRY_SECONDS = 10.0
"""How soon it tries again after a failure: the API server may be starting."""
TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Settings:
    """What the environment says.

    :param url: root of the API server
    :param user: who logs in
    :param password_file: where that user's password is
    :param token_file: the file to write
    :param seconds: how often a new token is fetched
    """

    url: str
    user: str
    password_file: Path
    token_file: Path
    seconds: float

    @classmethod
    def of_environment(cls) -> "Settings":
        """Read them.

        :raises ValueError: one is missing or makes no sense; the text says which
        """
        names = ("API_URL", "METRICS_USER", "METRICS_PASSWORD_FILE", "METRICS_TOKEN_FILE")
        if missing := [f"AIRFLOW_{name}" for name in names if not os.environ.get(f"AIRFLOW_{name}")]:
            raise ValueError(f"Set {', '.join(missing)} in the environment.")
        url, user, password_file, token_file = (os.environ[f"AIRFLOW_{name}"] for name in names)
        given = os.environ.get("AIRFLOW_METRICS_TOKEN_SECONDS", "3600")
        if not given.isdecimal() or not int(given):
            raise ValueError(f"AIRFLOW_METRICS_TOKEN_SECONDS is {given!r}; give a number of seconds such as 3600.")
        return cls(url.rstrip("/"), user, Path(password_file), Path(token_file), float(given))


def fetch(url: str, user: str, password: str) -> str:
    """Log in, and return a token.

    :param url: root of the API server
    :raises OSError: the server does not answer, or refuses the user
    :raises http.client.HTTPException: it does not speak HTTP
    :raises ValueError: its answer holds no token
    """
    body = json.dumps({"username": user, "password": password}).encode()
    request = urllib.request.Request(  # noqa: S310 - the address is the operator's
        f"{url}/auth/token", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
        found = json.load(answer)
    token = found.get("access_token") if isinstance(found, dict) else None
    if not isinstance(token, str) or not token:
        raise ValueError("the answer of /auth/token holds no access_token")
    return token


def store(token: str, path: Path) -> None:
    """Replace the file at once: whoever reads it meanwhile reads the whole old token or the whole new one.

    Owner and group may read it. Prometheus runs as another user, who must be in the folder's group.
    """
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "w", encoding="ascii") as file:
        file.write(token)
    new.replace(path)


def refresh(settings: Settings) -> str:
    """Fetch a token and store it; return why that failed, or nothing. The text holds no secret."""
    url, user = settings.url, settings.user
    try:
        password = settings.password_file.read_text("utf-8").strip()
        store(fetch(url, user, password), settings.token_file)
    except urllib.error.HTTPError as error:
        if error.code == 401:
            return f"Airflow refuses the user '{user}'. Check the password in AIRFLOW_METRICS_PASSWORD_FILE."
        return f"Airflow answered {error.code} to the log-in of '{user}' at {url}/auth/token."
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"No token of '{user}' from {url}: {error}"
    return ""


def main() -> None:
    """Keep the file fresh until somebody stops this process."""
    try:
        settings = Settings.of_environment()
    except ValueError as error:
        sys.exit(str(error))
    told = None
    while True:
        problem = refresh(settings)
        if problem != told:
            print(problem or "The token is fresh.", file=sys.stderr, flush=True)
        told = problem
        time.sleep(RETRY_SECONDS if problem else settings.seconds)


if __name__ == "__main__":
    main()
