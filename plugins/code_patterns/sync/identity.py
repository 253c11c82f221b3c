"""Which database a collection belongs to, and the token by which both sides know how far the other one is.

A name is not a thing: a database can be restored, copied or exchanged under its name, and so can a collection.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True)
class DatabaseIdentity:
    """What tells a database of patterns from another one.

    :param id: made by migration 015; a dump, and so every copy, carries it
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
        """The identity that a collection's metadata holds; one that lacks something is nobody's."""
        if not isinstance(stored, Mapping):
            return None
        return cls(**{field.name: str(stored.get(field.name)) for field in fields(cls)})

    def is_same(self, other: "DatabaseIdentity") -> bool:
        """Whether both are one database.

        One that was upgraded or restored into another cluster keeps its address, one that is reached by another
        address keeps its cluster. A copy for other use has another name, or neither.
        """
        return (self.id, self.name) == (other.id, other.name) and (
            self.system_identifier == other.system_identifier or self.address == other.address
        )

    def __str__(self) -> str:
        """The database in words, for messages."""
        return f"'{self.name}' of {self.address} (cluster {self.system_identifier}, id {self.id})"


@dataclass(frozen=True)
class Witness:
    """The point that a run wrote last. A collection that was put back to an older snapshot does not have it so.

    Qdrant keeps a collection's metadata when a snapshot is restored into it: only the points tell.

    :param id: its id
    :param written_at: its ``sync_timestamp``; ``None`` where the point was deleted
    """

    id: UUID
    written_at: datetime | None

    def is_older(self, found: datetime | None) -> bool:
        """Whether the point is one from before this write.

        :param found: its ``sync_timestamp`` now; ``None`` without such a point
        """
        if self.written_at is None or found is None:
            return found is not self.written_at
        return found < self.written_at


def next_token(*known: str | None) -> str:
    """A new progress token.

    Its number says which of two sides is older, the rest makes it unique.

    :param known: the tokens that both sides hold
    """
    return f"{max(map(token_number, known), default=0) + 1}-{uuid.uuid4().hex}"


def token_number(token: str | None) -> int:
    """The number of a progress token; 0 without one."""
    number = (token or "").partition("-")[0]
    return int(number) if number.isdecimal() else 0
