"""What a search must know of the collection."""

import time
from dataclasses import dataclass

from code_patterns.codes import Code
from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.errors import ConfigurationError
from code_patterns.servers.qdrant import Qdrant
from code_patterns.servers.qdrant_errors import CollectionLostError
from code_patterns.sync.collection import stored_of
from code_patterns.sync.pattern import embedding_of, model_of
from code_patterns.sync.payload_indexes import FILE_PATH, finds_folders
from code_patterns.sync.sync_target import WITHOUT_NAME, SyncTarget

KNOWN_SECONDS = 1.0
"""How long what was read of a collection is used. To read it for every search took a quarter of its time."""


@dataclass(frozen=True)
class Searched:
    """A collection that readers see.

    :param name: alias or collection
    :param where: Qdrant in words, for messages
    :param has_words: whether it has the sparse vector
    :param dimension: length of its plain vectors; ``None`` if it has none
    :param recipe: how its vectors were made; ``None`` if the sync did not make it
    :param filters_folders: whether Qdrant finds a path by the name of a folder in it
    :param filters_unindexed: whether Qdrant filters by what has no index
    """

    name: str
    where: str
    has_words: bool
    dimension: int | None
    recipe: str | None
    filters_folders: bool
    filters_unindexed: bool

    def require_words(self) -> None:
        """Refuse a collection of an earlier version.

        :raises ConfigurationError: it has no words
        """
        if not self.has_words:
            raise ConfigurationError(
                Code.WORDS_MISSING,
                f"The collection '{self.name}' of {self.where} has no vector 'words' yet, by which this search looks. "
                "Run pattern_sync_full once: it adds them, and embeds nothing again.",
            )

    def compares_letters(self, connection: EmbeddingConfig) -> bool:
        """Whether its vectors, or those of the connection, are made of letters, as words are.

        :param connection: the embedding connection
        """
        made = embedding_of(self.recipe, connection) if self.recipe else None
        return "hashing" in (connection.api, made and made.api)

    def embedding(self, connection: EmbeddingConfig) -> EmbeddingConfig:
        """Return how a text must be embedded to be compared with this collection's vectors.

        After a change of model, readers see the former collection until the new one is complete.

        :param connection: the embedding connection
        :raises ConfigurationError: the connection cannot make such vectors
        """
        made = connection if self.recipe is None else embedding_of(self.recipe, connection)
        if made is None or made.dimension != self.dimension or _is_another_hashing(made, connection):
            theirs = f"{self.dimension} dimensions" if self.dimension else "none without a name"
            model = f", made by '{made_by}'" if (made_by := model_of(self.recipe)) else ""
            raise ConfigurationError(
                Code.SEARCH_MODEL_DIFFERS,
                f"The collection '{self.name}' of {self.where} has vectors of {theirs}{model}, and "
                f"{connection.address} makes those of '{connection.model}' with {connection.dimension}. Correct the "
                "connection, or run pattern_sync_full, which embeds everything again.",
            )
        return made


def _is_another_hashing(made: EmbeddingConfig, connection: EmbeddingConfig) -> bool:
    """Whether no server could notice that this model is another one."""
    return connection.api == "hashing" and made.model != connection.model


async def read_searched(qdrant: Qdrant, name: str, *, attempts: int, target: SyncTarget = WITHOUT_NAME) -> Searched:
    """Read what a search must know.

    :param name: alias or collection
    :param target: whose collection it is
    :raises ConfigurationError: there is no such collection
    :raises OutageError: Qdrant cannot answer
    """
    doing = f"reading the collection '{name}'"
    try:
        info = await qdrant.call(doing, lambda: qdrant.client.get_collection(name), attempts=attempts)
    except (CollectionLostError, ConfigurationError):
        if await qdrant.call(doing, lambda: qdrant.client.collection_exists(name), attempts=attempts):
            raise
        raise ConfigurationError(
            Code.COLLECTION_MISSING,
            f"Qdrant at {qdrant.config.address} has no collection '{name}'. Run pattern_sync_full, which makes it, or "
            f"correct {target.setting}.",
        ) from None
    stored, strict = stored_of(name, info), info.config.strict_mode_config
    return Searched(
        name=name,
        where=qdrant.config.address,
        has_words=stored.words,
        dimension=stored.vectors.size if stored.vectors else None,
        recipe=stored.description.recipe,
        filters_folders=finds_folders(info.payload_schema.get(FILE_PATH)),
        filters_unindexed=not (strict and strict.enabled and strict.unindexed_filtering_retrieve is False),
    )


class Known:
    """What is known of a collection, for a moment.

    :param name: alias or collection
    :param target: whose collection it is
    """

    def __init__(self, name: str, target: SyncTarget = WITHOUT_NAME) -> None:
        self._name = name
        self._target = target
        self._searched: Searched | None = None
        self._read_at = 0.0

    async def read(self, qdrant: Qdrant, *, attempts: int) -> Searched:
        """Return what is known, or read it; see :func:`read_searched`."""
        if self._searched is None or time.monotonic() - self._read_at > KNOWN_SECONDS:
            self._searched = await read_searched(qdrant, self._name, attempts=attempts, target=self._target)
            self._read_at = time.monotonic()
        return self._searched

    def forget(self) -> None:
        """Let the next search read it."""
        self._searched = None
