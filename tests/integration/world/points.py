"""The side of the points: a collection, and what administrators and restores do to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from qdrant_client import QdrantClient, models

from code_patterns.embeddings.words import WORDS
from code_patterns.sync.collection import METADATA_KEY
from tests.support.faulty_embeddings import EmbeddingServer
from tests.support.words import words_of_one

Stored = Mapping[Any, tuple[Any, Any]]
"""Payload and vector by id."""


@dataclass(frozen=True)
class Snapshot:
    """A collection as it was; ``description`` is its metadata."""

    physical: str
    vectors: Any
    sparse: Any
    description: Any
    points: Stored


@dataclass
class Points:
    """The collection behind one alias.

    :param client: an open client
    :param alias: the name that the runs are given
    """

    client: QdrantClient
    alias: str
    _put_there: list[str] = field(default_factory=list)

    @property
    def physical(self) -> str | None:
        """The collection that the alias names."""
        aliases = self.client.get_aliases().aliases
        return next((item.collection_name for item in aliases if item.alias_name == self.alias), None)

    @property
    def identity(self) -> str | None:
        """What that collection says it is; one that takes the place of a lost one says something else."""
        if (physical := self.physical) is None:
            return None
        metadata = self.client.get_collection(physical).config.metadata or {}
        return (metadata.get(METADATA_KEY) or {}).get("identity")

    def stored(self, name: str | None = None) -> Stored:
        """Everything in the collection that the alias names, or in another one."""
        name = name or self.physical
        if name is None:
            return {}
        records, rest = self.client.scroll(name, limit=10_000, with_payload=True, with_vectors=True)
        assert rest is None
        return {record.id: (record.payload, record.vector) for record in records}

    def contents(self, embeddings: EmbeddingServer) -> Mapping[UUID, tuple[Any, ...] | None]:
        """What each point says, in the form of :meth:`Database.contents`; ``None`` where it is wrong in itself."""
        return {UUID(key): _said(payload, vector, embeddings) for key, (payload, vector) in self.stored().items()}

    def snapshot(self) -> Snapshot:
        """Remember the collection."""
        physical = self.physical
        assert physical is not None
        config = self.client.get_collection(physical).config
        return Snapshot(
            physical, config.params.vectors, config.params.sparse_vectors, config.metadata, self.stored(physical)
        )

    def make(self, snapshot: Snapshot) -> None:
        """Make a collection and its alias as they were."""
        self._create(snapshot.physical, snapshot.vectors, snapshot.description, snapshot.sparse)
        self._put(snapshot.physical, snapshot.points)
        self._name(snapshot.physical)

    def restore(self, snapshot: Snapshot) -> None:
        """Put the older points in the place of those there are: Qdrant keeps a collection's metadata as it is."""
        physical = self.physical
        if physical is None:
            return
        if there := list(self.stored(physical)):
            self.client.delete(physical, models.PointIdsList(points=there), wait=True)
        self._put(physical, snapshot.points)

    def lose(self) -> None:
        """Delete the collection that the alias names, and so the alias."""
        if physical := self.physical:
            self.client.delete_collection(physical)

    def exchange(self) -> None:
        """Let the alias name an empty collection of the same shape and metadata."""
        if physical := self.physical:
            config = self.client.get_collection(physical).config
            other = f"{self.alias}_{uuid4().hex[:6]}"
            self._create(other, config.params.vectors, config.metadata, config.params.sparse_vectors)
            self._name(other)

    def lead_astray(self, how: str) -> str:
        """Let the alias name a collection that must not be written; return its name.

        :param how: ``curated``: it belongs to somebody else; ``dot``: its distance is another one
        """
        other = f"{self.alias}_curated" if how == "curated" else f"{self.alias}__{uuid4().hex[:8]}"
        distance = models.Distance.DOT if how == "dot" else models.Distance.COSINE
        self._create(other, models.VectorParams(size=16, distance=distance), None)
        self._put(other, {str(uuid4()): ({"by": "hand"}, [1.0] + [0.0] * 15)})
        self._name(other)
        return other

    def close(self) -> None:
        """Leave nothing behind."""
        for item in self.client.get_collections().collections:
            if item.name.startswith(self.alias):
                self.client.delete_collection(item.name)

    def _create(self, name: str, vectors: Any, description: Any, sparse: Any = None) -> None:
        self.client.create_collection(name, vectors_config=vectors, sparse_vectors_config=sparse, metadata=description)

    def _put(self, name: str, points: Stored) -> None:
        if points:
            made = [models.PointStruct(id=key, payload=said, vector=at) for key, (said, at) in points.items()]
            self.client.upsert(name, made, wait=True)

    def _name(self, physical: str) -> None:
        """Let the alias name this collection."""
        operations: list[models.AliasOperations] = []
        if self.physical:
            operations.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=self.alias)))
        created = models.CreateAlias(collection_name=physical, alias_name=self.alias)
        operations.append(models.CreateAliasOperation(create_alias=created))
        self.client.update_collection_aliases(change_aliases_operations=operations)


def _said(payload: Any, vector: Any, embeddings: EmbeddingServer) -> tuple[Any, ...] | None:
    """What a point says; ``None`` when a vector, its text or the form of its time is wrong."""
    words = words_of_one((payload["file_path"], "", payload["code"]), payload["pattern_name"])
    if not isinstance(vector, dict) or vector[WORDS].indices != words.indices.tolist():
        return None
    vector = vector[""]
    expected = embeddings.vector(payload["text"])
    if max(abs(one - other) for one, other in zip(vector, expected, strict=True)) > 1e-5:
        return None
    if not payload["text"].endswith("\n\nCode:\n" + payload["code"]):
        return None
    created = datetime.fromisoformat(payload["created_at"])
    if created.utcoffset() != timedelta(0):
        return None
    fields = (payload[key] for key in ("pattern_name", "code", "metadata", "file_path", "pattern_id"))
    return (*fields, round(created.timestamp(), 3))
