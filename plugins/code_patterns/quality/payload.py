"""Read a Qdrant payload of any writer: a field that is null or has a wrong type counts as missing."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

UNNAMED = "unnamed_pattern"
NODE_TYPES = ("effect", "compute", "reducer", "orchestrator")
VOLATILE_FIELDS = frozenset({"sync_timestamp", "embedding_hash", "content_hash", "words_hash", "truncated"})
"""Payload fields that change although the content does not: with the moment, the model or the words of a point."""
MAX_ITEMS_READ = 1_000
"""Most items of a list, and most fields of a mapping, that are looked at."""

_SCORED_ELSEWHERE = frozenset(
    {"code", "content_preview", "text", "description", "pattern_name", "confidence", "pattern_confidence", "metadata"}
    | {"node_type", "node_types", "complexity", "complexity_level", "declared_complexity", "use_cases", "examples"}
)
_BOOKKEEPING = (
    VOLATILE_FIELDS
    | {"id", "point_id", "pattern_id", "source_id", "chunk_id", "correlation_id", "vector", "embedding"}
    | {"quality_score", "created_at", "updated_at", "timestamp", "indexed_at"}
)
_NOT_FURTHER = _SCORED_ELSEWHERE | _BOOKKEEPING
"""Fields that another dimension scores, and fields that say nothing about the code."""
_SAYS_NOTHING = {"", "-", "?", "n/a", "na", "none", "null", "nil", "unknown", "todo", "tbd", "undefined", "default"}
_LEVELS = {"low": "low", "simple": "low", "medium": "medium", "moderate": "medium", "high": "high", "complex": "high"}


@dataclass(frozen=True, slots=True)
class PatternPayload:
    """The fields of a payload that matter for quality.

    :param name: ``pattern_name``, or ``unnamed_pattern``
    :param code: ``code``, else ``content_preview``, else empty
    :param description: ``text`` if it is more than the code, else ``description``
    :param language: the declared language
    :param file_path: the file it comes from
    :param confidence: ``confidence``, else ``pattern_confidence``, else 0.0
    :param node_type: the declared ONEX node type, or ``None``
    :param complexity: the declared complexity: ``low``, ``medium``, ``high`` or ``None``
    :param use_cases: number of distinct use cases
    :param examples: number of distinct examples
    :param further_fields: number of other fields with a meaningful value
    """

    name: str
    code: str
    description: str
    language: str | None
    file_path: str | None
    confidence: float
    node_type: str | None
    complexity: str | None
    use_cases: int
    examples: int
    further_fields: int


def read_payload(payload: Any) -> PatternPayload:
    """Read a payload; fields it lacks are looked for in its ``metadata``."""
    top: Mapping[str, Any] = payload if isinstance(payload, Mapping) else {}
    inner = top.get("metadata")
    metadata: Mapping[str, Any] = inner if isinstance(inner, Mapping) else {}

    def texts(*names: str) -> Iterator[str]:
        found = (source.get(name) for name in names for source in (top, metadata))
        return (value for value in found if isinstance(value, str) and value.strip())

    def text(*names: str) -> str:
        return next(texts(*names), "")

    def items(name: str) -> int:
        return max(_count_items(top.get(name)), _count_items(metadata.get(name)))

    code = text("code", "content_preview")
    return PatternPayload(
        name=text("pattern_name") or UNNAMED,
        code=code,
        description=_more_than_code(text("text"), code) or text("description"),
        language=next(filter(_says_something, texts("language")), None),
        file_path=text("file_path") or None,
        confidence=confidence_of(top),
        node_type=_node_type(top, metadata),
        complexity=_LEVELS.get(text("complexity", "complexity_level", "declared_complexity").strip().lower()),
        use_cases=items("use_cases"),
        examples=items("examples"),
        further_fields=_count_further_fields(top, metadata),
    )


def confidence_of(payload: Any) -> float:
    """Read the confidence, 0 to 1: ``confidence``, else ``pattern_confidence``, as number or as text, else 0.0."""
    if not isinstance(payload, Mapping):
        return 0.0
    for name in ("confidence", "pattern_confidence"):
        value = payload.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            continue
        try:
            number = float(value)
        except (ValueError, OverflowError):
            continue
        if not math.isnan(number):
            return min(max(number, 0.0), 1.0)
    return 0.0


def _node_type(top: Mapping[str, Any], metadata: Mapping[str, Any]) -> str | None:
    for source in (top, metadata):
        several = source.get("node_types")
        first = next(iter(several[:1]), None) if isinstance(several, list | str) else None
        first = several if isinstance(several, str) else first
        for value in (source.get("node_type"), first):
            if isinstance(value, str) and value.strip():
                name = value.strip().lower()[:50].removeprefix("node").strip("_- ")
                return name if name in NODE_TYPES else None
    return None


def _more_than_code(text: str, code: str) -> str:
    """Return a text without the code that it may contain."""
    head, marker, _ = text.partition("\n\nCode:\n")
    if marker and head.startswith("File: "):
        return ""
    return text.replace(code, " ") if code.strip() else text


def _count_items(value: Any) -> int:
    """Count the distinct items with a meaningful value; a single text or mapping is one item."""
    if isinstance(value, list):
        return len({str(item)[:500].strip().lower() for item in value[:MAX_ITEMS_READ] if _says_something(item)})
    return int(_says_something(value))


def _count_further_fields(top: Mapping[str, Any], metadata: Mapping[str, Any]) -> int:
    names: set[str] = set()
    for source in (top, metadata):
        for name, value in list(source.items())[:MAX_ITEMS_READ]:
            if name not in _NOT_FURTHER and _says_something(value):
                names.add(str(name))
    return len(names)


def _says_something(value: Any) -> bool:
    if value is None:
        return False
    if isinstance(value, str):
        return value[:50].strip().lower() not in _SAYS_NOTHING
    return bool(value) if isinstance(value, list | Mapping) else True
