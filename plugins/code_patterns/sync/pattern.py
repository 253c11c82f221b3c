"""Make of a row what Qdrant should hold: text, words, payload and three hashes."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from code_patterns.codes import Code
from code_patterns.embeddings.base import HASHING_MODELS, EmbeddingConfig
from code_patterns.embeddings.words import WORDS_RECIPE, PatternTexts, Words, words_of
from code_patterns.errors import PatternsError

TEXT_RECIPE = "file-language-path-code/1"
"""Name of the text recipe of :func:`document_text`; a new name makes the next full sync embed everything again."""

HASHES = 1
"""Another number wherever :func:`pattern_of` makes other hashes of the same row by the same recipes."""

MAX_DEPTH = 100
"""Deepest JSON nesting that is synced. Qdrant's parser (serde_json) stops at 128 levels, envelope included."""

MAX_DIGITS = 308
"""Longest integer that is synced where orjson gives a text up: every one of them fits into a double."""

EMBEDDING_HASH = "embedding_hash"
CONTENT_HASH = "content_hash"
WORDS_HASH = "words_hash"
TRUNCATED = "truncated"
"""Payload key: true if the vector is made only of the text's beginning, otherwise absent. It is part of no hash: an
unchanged row must not be embedded again when the server's limit is found or changes."""
SYNC_TIMESTAMP = "sync_timestamp"

PAYLOAD_KEYS = (
    *("text", "code", "pattern_id", "pattern_name", "pattern_type", "pattern_version", "file_path", "language"),
    *("metadata", "created_at", EMBEDDING_HASH, CONTENT_HASH, WORDS_HASH, TRUNCATED, SYNC_TIMESTAMP),
)
"""All payload keys that the sync writes. Keys of others are left alone."""

_TEXTS = ("pattern_data", "metadata", "pattern_id", "pattern_name", "pattern_version", "file_path", "language")

NO_LANGUAGE = "unknown"
"""Language of a pattern without one, in payloads: readers filter by it."""
NO_FILE_PATH = ""
"""File path of a pattern without one, in payloads: readers filter by it."""


class UnreadableRowError(PatternsError):
    """No pattern can be made of a row's JSON; the text says why."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.ROW_UNREADABLE, message)


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row of ``pattern_lineage_nodes``, with JSON columns as text; they are ``None`` unless the type is ``code``.

    :param sync_xid: the last transaction that changed what the sync reads; ``None`` for rows older than the trigger
    :param updated_at: start of that transaction, where it was read
    :param digest: PostgreSQL's digest of the row, where it was read
    """

    id: UUID
    pattern_id: str | None
    pattern_name: str | None
    pattern_type: str | None
    pattern_version: str | None
    pattern_data: str | None
    metadata: str | None
    created_at: datetime | None
    file_path: str | None
    language: str | None
    sync_xid: int | None
    updated_at: datetime | None = None
    digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class Pattern:
    """What Qdrant should hold for one row.

    :param id: point id, the row's own id
    :param text: the text that is embedded
    :param payload: the point's payload, without ``sync_timestamp``
    :param embedding_hash: identifies text, model, dimension, prefix and recipe: a change needs a new vector
    :param content_hash: identifies the rest of the payload: a change needs no new vector
    :param words_hash: identifies the recipe of the words and the texts that they are made of: a change needs new words,
        but no new vector; ``None`` in a collection without words
    :param description: what the row says about the pattern; it goes into the words only
    """

    id: UUID
    text: str
    payload: dict[str, Any]
    embedding_hash: str
    content_hash: str
    words_hash: str | None = None
    description: str = ""

    @property
    def texts_of_words(self) -> PatternTexts:
        """What its words are made of."""
        payload = self.payload
        return PatternTexts((self.description, payload["code"]), payload["pattern_name"], payload["file_path"])

    def marked_truncated(self) -> "Pattern":
        """The pattern with the mark that its vector is made only of the text's beginning."""
        return replace(self, payload=self.payload | {TRUNCATED: True})


def words_of_patterns(patterns: Sequence[Pattern]) -> list[Words | None]:
    """Make the words of patterns, in order; ``None`` for those of a collection without words."""
    texts = [pattern.texts_of_words for pattern in patterns if pattern.words_hash is not None]
    made = iter(words_of(texts) if texts else ())
    return [None if pattern.words_hash is None else next(made) for pattern in patterns]


def recipe_of(config: EmbeddingConfig) -> str:
    """Name everything except the text that decides a vector, in a form that two runs can compare."""
    return orjson.dumps(
        [TEXT_RECIPE, config.model, config.dimension, config.document_prefix, config.max_characters]
    ).decode()


def hashing_of(recipe: str, *, words: bool) -> bytes:
    """Name everything except a row that decides the three hashes of its pattern.

    :param recipe: from :func:`recipe_of`
    :param words: whether the collection has words
    """
    return orjson.dumps([HASHES, recipe, WORDS_RECIPE if words else None])


def embedding_of(recipe: str, config: EmbeddingConfig) -> EmbeddingConfig | None:
    """Make a configuration of a recipe, to go on with vectors of that recipe.

    The built-in embedder follows its own recipes, whatever the connection says now, and no others.

    :param recipe: from :func:`recipe_of`, perhaps of an earlier version of this project
    :param config: what is not part of a recipe: server, key, concurrency
    :return: ``None`` if this version, or the connection, cannot follow the recipe
    """
    try:
        text_recipe, model, dimension, document_prefix, max_characters = orjson.loads(recipe)
    except ValueError:
        return None
    built_in = model.startswith(HASHING_MODELS) and model != config.model
    if text_recipe != TEXT_RECIPE or (config.api == "hashing" and not model.startswith(HASHING_MODELS)):
        return None
    followed = replace(
        config, model=model, dimension=dimension, document_prefix=document_prefix, max_characters=max_characters
    )
    return replace(followed, api="hashing", base_url="") if built_in else followed


def model_of(recipe: str | None) -> str | None:
    """The model's name in a recipe of :func:`recipe_of`, whichever version wrote it; ``None`` if it has none."""
    with suppress(ValueError, TypeError, IndexError):
        return str(orjson.loads(recipe or "")[1])
    return None


def same_recipe(recipe: str, config: EmbeddingConfig) -> bool:
    """Whether a stored recipe is that of the connection, however the model's name is spelled.

    :param recipe: from :func:`recipe_of`
    """
    stored = embedding_of(recipe, config)
    return stored is not None and identity_of(stored) == identity_of(config)


def identity_of(config: EmbeddingConfig) -> str:
    """Return the common recipe of all spellings of a model.

    Hashes of points use the recipe as it was spelled then; only comparisons use this one.
    """
    return recipe_of(replace(config, model=config.model_identity))


def pattern_of(row: SourceRow, recipe: str, *, words: bool = True) -> Pattern:
    """Make the pattern of a row.

    :param row: a row whose type is ``code``
    :param recipe: from :func:`recipe_of`
    :param words: whether the collection has words
    :raises UnreadableRowError: no pattern can be made of the row's JSON
    """
    _refuse_undecodable(row)
    data = _pattern_data(row.pattern_data or "")
    code = data.get("code")
    if code is None:
        code = ""
    if not isinstance(code, str):
        raise UnreadableRowError(f"pattern_data.code is a JSON {_kind(code)}; it must be a text")
    file_path = row.file_path or _text(data.get("file_path"))
    language = row.language or _text(data.get("language"))
    text = document_text(row.pattern_name, file_path, language, code)
    metadata = {} if row.metadata is None else _json(row.metadata, "metadata")
    description = _description(data, metadata)
    described = {
        "pattern_id": row.pattern_id,
        "pattern_name": row.pattern_name,
        "pattern_type": row.pattern_type,
        "pattern_version": row.pattern_version,
        "file_path": file_path or NO_FILE_PATH,
        "language": language or NO_LANGUAGE,
        "metadata": metadata,
        "created_at": row.created_at.isoformat() if row.created_at else None,
    }
    embedding_hash = _digest(recipe.encode(), text.encode())
    content_hash = _digest(orjson.dumps(described, option=orjson.OPT_SORT_KEYS))
    payload = {
        "text": text,
        "code": code,
        **described,
        EMBEDDING_HASH: embedding_hash,
        CONTENT_HASH: content_hash,
    }
    words_hash = None
    if words:
        texts = (row.pattern_name or "", file_path or NO_FILE_PATH, description, code)
        words_hash = payload[WORDS_HASH] = _digest(WORDS_RECIPE.encode(), *[text.encode() for text in texts])
    return Pattern(row.id, text, payload, embedding_hash, content_hash, words_hash, description)


def _refuse_undecodable(row: SourceRow) -> None:
    """Refuse bytes that are not UTF-8, read as lone surrogates; a database with encoding SQL_ASCII may hold them."""
    texts = {name: getattr(row, name) or "" for name in _TEXTS}
    if _is_utf8("".join(texts.values())):
        return
    name = next(name for name, text in texts.items() if not _is_utf8(text))
    raise UnreadableRowError(f"{name} holds bytes that are no UTF-8; the database's encoding allows any")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def document_text(name: str | None, file_path: str | None, language: str | None, code: str) -> str:
    """Make the text that is embedded: file, language and path, then the whole code."""
    file = file_path.rstrip("/").rpartition("/")[2] if file_path else name
    return (
        f"File: {file or 'unknown'}\nLanguage: {language or 'unknown'}\nPath: {file_path or 'unknown'}\n\nCode:\n{code}"
    )


def _pattern_data(raw: str) -> dict[str, Any]:
    """Parse ``pattern_data``; older rows hold the JSON object inside a JSON string."""
    value = _json(raw, "pattern_data")
    if isinstance(value, str):
        value = _json(value, "the JSON text inside pattern_data")
    if not isinstance(value, dict):
        raise UnreadableRowError(f"pattern_data is a JSON {_kind(value)}; it must be an object with the key 'code'")
    return value


def _json(raw: str, what: str) -> Any:
    """Parse JSON into values that Qdrant can store: finite numbers, valid text, bounded nesting."""
    try:
        value = orjson.loads(raw)
    except ValueError:
        # orjson refuses what PostgreSQL or an old writer accepted: 1e999, NaN, a lone surrogate.
        try:
            value = _storable(json.loads(raw, parse_int=_integer))
        except (ValueError, RecursionError) as error:
            reason = "nests too deeply" if isinstance(error, RecursionError) else f"is not valid JSON ({error})"
            raise UnreadableRowError(f"{what} {reason}") from None
    if raw.count("[") + raw.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise UnreadableRowError(f"{what} nests deeper than {MAX_DEPTH} levels, more than Qdrant reads")
    return value


def _integer(digits: str) -> int | None:
    # Before it is converted: that takes quadratic time, and Python refuses more than 4,300 digits.
    return int(digits) if len(digits.removeprefix("-")) <= MAX_DIGITS else None


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return float(value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return value


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return depth


def _description(data: Mapping[str, Any], metadata: Any) -> str:
    """What a row says about its pattern: ``pattern_data.description``, else ``metadata.description``."""
    of_metadata = metadata.get("description") if isinstance(metadata, dict) else None
    return _text(data.get("description")) or _text(of_metadata) or ""


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _kind(value: Any) -> str:
    return {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}.get(
        type(value), "number"
    )


def _digest(*parts: bytes) -> str:
    framed = b"".join([len(part).to_bytes(8, "little") + part for part in parts])
    return hashlib.blake2b(framed, digest_size=16).hexdigest()
