"""Which database a collection belongs to, and the token that shows how far each side is.

A database can be restored, copied or exchanged under the same name, and so can a collection.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True)
class DatabaseIdentity:
    """Distinguishes a database of patterns from others.

    :param id: made by migration 015; every dump and copy carries it
    :param name: the database's name in its cluster
    :param system_identifier: the PostgreSQL cluster
    :param address: ``host:port`` by which it is reached
    """

    id: str
    name: str
    system_identifier: str
    address: str

    @classmethod
    def read(cls, stored: Any) -> "DatabaseIdentity | None":
        """The identity in a collection's metadata; ``None`` if it is incomplete."""
        if not isinstance(stored, Mapping):
            return None
        return cls(**{field.name: str(stored.get(field.name)) for field in fields(cls)})

    def is_same(self, other: "DatabaseIdentity") -> bool:
        """Whether both are the same database.

        A database that was upgraded or restored into another cluster keeps its address. A database that is reached by
        another address keeps its cluster. A copy has another name, or has neither.
        """
        return (self.id, self.name) == (other.id, other.name) and (
            self.system_identifier == other.system_identifier or self.address == other.address
        )

    def __str__(self) -> str:
        """The database in words, for messages."""
        return f"'{self.name}' of {self.address} (cluster {self.system_identifier}, id {self.id})"


@dataclass(frozen=True)
class Witness:
    """The point that a run wrote last. A collection that was restored from an older snapshot does not hold it so.

    Qdrant keeps a collection's metadata when a snapshot is restored into it, so only the points show a restore.

    :param id: its id
    :param written_at: its ``sync_timestamp``; ``None`` if the point was deleted, and so is no witness
    """

    id: UUID
    written_at: datetime | None


def next_token(*known: str | None) -> str:
    """Make a new progress token.

    Its number shows which of two sides is older; the rest makes it unique.

    :param known: the tokens of both sides
    """
    return f"{max(map(token_number, known), default=0) + 1}-{uuid.uuid4().hex}"


def token_number(token: str | None) -> int:
    """The number of a progress token; 0 if there is none."""
    number = (token or "").partition("-")[0]
    return int(number) if number.isdecimal() else 0
