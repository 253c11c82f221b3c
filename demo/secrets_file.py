"""Passwords and keys of one ``.demo`` folder, made at first use."""

import json
import os
import secrets
from base64 import urlsafe_b64encode
from dataclasses import asdict, dataclass, field
from pathlib import Path

from demo import HOME

_FILE = HOME / "secrets.json"


@dataclass(frozen=True)
class Secrets:
    """What must stay the same between two starts on the same data.

    :param patterns_database: password of the role that owns the patterns
    :param metadata_database: password of the role that owns Airflow's own database
    :param login: password of Airflow's user ``admin``
    :param fernet_key: encrypts the connections in Airflow's metadata database
    :param jwt_secret: signs the tokens of Airflow's APIs
    :param session_secret: signs the UI's sessions
    """

    patterns_database: str = field(default_factory=lambda: secrets.token_hex(12), repr=False)
    metadata_database: str = field(default_factory=lambda: secrets.token_hex(12), repr=False)
    login: str = field(default_factory=lambda: secrets.token_hex(5), repr=False)
    fernet_key: str = field(default_factory=lambda: urlsafe_b64encode(secrets.token_bytes(32)).decode(), repr=False)
    jwt_secret: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    session_secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)


def secrets_of_this_demo() -> Secrets:
    """Read the secrets, or make them."""
    if not _FILE.exists():
        write_private(_FILE, json.dumps(asdict(Secrets())))
    return Secrets(**json.loads(_FILE.read_text()))


def write_private(file: Path, text: str) -> None:
    """Write a file that only this user can read, whatever the umask is."""
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
        opened.write(text)
