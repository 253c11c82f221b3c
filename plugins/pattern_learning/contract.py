"""The contract and the result of the four nodes' operations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError

ASYNCPG_AVAILABLE = True
"""Always true: asyncpg is a requirement. Callers of the previous layer read this."""


@dataclass(frozen=True)
class ModelContractEffect:
    """One operation and its arguments. A node reads only the arguments of its operation.

    Nothing is checked here: a missing or wrong argument gives a failed :class:`ModelResult`.

    :param operation: name of the operation, such as ``insert`` or ``search``
    :param data: columns and values of a template (``insert``, ``update``)
    :param pattern_id: template it is about, as a UUID or its text
    :param patterns: columns and values of many templates (``batch_insert``)
    :param filters: conditions that rows must meet
    :param search_query: words to search for
    :param limit: most rows to return
    :param offset: rows to skip first
    :param usage_data: fields of a usage event
    :param relationship_data: fields of a relationship
    :param period_start: begin of a period, included; without a time zone it is UTC
    :param period_end: end of a period, excluded; without a time zone it is UTC
    :param aggregate_by: ``day``, ``week`` (from Monday) or ``month`` of UTC
    :param correlation_id: request this belongs to, a UUID or its text; a new one by default
    """

    operation: str
    data: Mapping[str, Any] | None = None
    pattern_id: UUID | str | None = None
    patterns: Sequence[Mapping[str, Any]] | None = None
    filters: Mapping[str, Any] | None = None
    search_query: str | None = None
    limit: int = 10
    offset: int = 0
    usage_data: Mapping[str, Any] | None = None
    relationship_data: Mapping[str, Any] | None = None
    period_start: datetime | str | None = None
    period_end: datetime | str | None = None
    aggregate_by: str = "day"
    correlation_id: UUID | str | None = None

    def __post_init__(self) -> None:
        """Make a correlation id if there is none."""
        if self.correlation_id is None:
            object.__setattr__(self, "correlation_id", uuid4())

    @classmethod
    def of(cls, operation: str, arguments: Mapping[str, Any]) -> "ModelContractEffect":
        """Make a contract of arguments by name.

        :raises ConfigurationError: one of them is no field of a contract
        """
        known = [each.name for each in fields(cls) if each.name != "operation"]
        if unknown := [name for name in arguments if name not in known]:
            raise ConfigurationError(
                Code.ARGUMENT_REFUSED, f"arguments has the unknown field {unknown[0]!r}; known are {', '.join(known)}."
            )
        return cls(operation, **arguments)


@dataclass(frozen=True)
class ModelResult:
    """The result of an operation.

    :param success: whether it did everything; if not, it did nothing
    :param data: what it found or did
    :param error: why it failed, in one sentence
    :param metadata: ``correlation_id`` (text) always; ``operation`` and ``duration_ms`` after a success,
        with ``result_count`` if rows are returned; ``retryable`` after a failure: whether the same call may succeed
        later although nobody changes anything
    """

    success: bool
    data: Any = None
    error: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the four fields by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}
