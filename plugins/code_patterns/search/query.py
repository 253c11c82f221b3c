"""What somebody searches for: text or a pattern, filters, and how many hits."""

from collections.abc import Mapping
from datetime import UTC, datetime, time
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic import BeforeValidator as Before

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.sql import storable
from code_patterns.typed_fields import NOT_BOOLEAN, Word, first_error, moment_or_day, own_rule, readable_names, rule_of

Mode = Literal["auto", "words", "meaning", "hybrid", "similar"]

LONGEST_TEXT = 20_000
"""Characters of a search text."""
MOST_HITS = 100
"""Hits of one answer."""
FURTHEST_OFFSET = 1_000
"""Hits that can be left out before the first one of an answer."""
LONGEST_FILTER = 1_000
"""Characters of a filter's value, and of ``similar_to``."""


class WrongQueryError(ConfigurationError):
    """A query that nobody can answer; the message names the field, and what is allowed.

    :param message: what is wrong
    :param field: the field
    :param code: what went wrong, for the runbook
    """

    def __init__(self, message: str, field: str, code: Code = Code.REQUEST_WRONG) -> None:
        super().__init__(code, message)
        self.field = field


def _since(value: Any) -> Any:
    if isinstance(value, datetime):
        return value
    found = moment_or_day(value)
    return found if isinstance(found, datetime) else datetime.combine(found, time(), UTC)


def _storable(text: str) -> str:
    if "\0" in text:
        raise own_rule("a text without the character NUL")
    return storable(text, None)


_Filter = Annotated[Word, Field(min_length=1, max_length=LONGEST_FILTER), AfterValidator(_storable)]
_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), NOT_BOOLEAN]


class SearchQuery(BaseModel):
    """One question. A field that is ``None`` or empty counts as not set.

    :param text: words, an identifier, a question or code; empty to find what is similar to a pattern, or to list what
        the filters leave
    :param similar_to: a pattern, by its uuid or its ``pattern_id``, to find similar ones
    :param mode: ``auto`` chooses by the text; ``words`` and ``meaning`` ask one side only, ``hybrid`` both;
        ``similar`` compares vectors of stored patterns, with a pattern's or with that of a code
    :param language: exactly this language; ``unknown`` for patterns without one
    :param pattern_type: exactly this type
    :param project: exactly this ``project_id`` of the pattern's metadata
    :param path_prefix: how the file's path begins
    :param min_quality: least quality score, 0 to 1; leaves out patterns without a score
    :param min_confidence: least confidence, 0 to 1; leaves out patterns without one
    :param created_since: not older than this; a day means its begin in UTC
    :param limit: most hits, 1 to 100
    :param offset: hits to leave out before the first one, 0 to 1,000
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    text: Annotated[Word, Field(max_length=LONGEST_TEXT), AfterValidator(_storable)] = ""
    similar_to: _Filter | None = None
    mode: Mode = "auto"
    language: _Filter | None = None
    pattern_type: _Filter | None = None
    project: _Filter | None = None
    path_prefix: _Filter | None = None
    min_quality: _Share | None = None
    min_confidence: _Share | None = None
    created_since: Annotated[AwareDatetime, Before(_since)] | None = None
    limit: Annotated[int, Field(ge=1, le=MOST_HITS), NOT_BOOLEAN] = 10
    offset: Annotated[int, Field(ge=0, le=FURTHEST_OFFSET), NOT_BOOLEAN] = 0

    @model_validator(mode="before")
    @classmethod
    def _without_empty_fields(cls, given: Any) -> Any:
        """Leave out what a form or a URL sends empty."""
        if not isinstance(given, Mapping):
            return given
        return {name: value for name, value in given.items() if value is not None and value != ""}

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """Check the fields of a query.

        :param fields: values or their texts, by name
        :raises WrongQueryError: a field is unknown, out of its bounds, or contradicts another one
        """
        try:
            query = cls.model_validate(readable_names(fields))
        except ValidationError as error:
            found = first_error(error)
            name = str(found["loc"][0])
            if found["type"] == "extra_forbidden":
                known = ", ".join(cls.model_fields)
                raise WrongQueryError(f"A search has no field '{name}'. Known are {known}.", name) from None
            rule = rule_of(found, cls.model_json_schema())
            raise WrongQueryError(f"The field '{name}' of the search must be {rule}.", name) from None
        query.refuse_contradictions()
        return query

    @property
    def filters_scores(self) -> bool:
        """Whether it filters by what PostgreSQL knows."""
        return self.min_quality is not None or self.min_confidence is not None

    def refuse_contradictions(self) -> None:
        """Refuse fields that do not go together.

        :raises WrongQueryError: the message names them
        """
        if self.similar_to and self.text:
            raise WrongQueryError(
                "A search has either the field 'text' or the field 'similar_to'. Leave one of them out.", "similar_to"
            )
        if self.similar_to and self.mode not in ("auto", "similar"):
            raise WrongQueryError(
                f"The field 'similar_to' needs the mode 'similar' or 'auto', not '{self.mode}'.", "mode"
            )
        if self.mode != "auto" and not self.text and not self.similar_to:
            needed = "'text' or 'similar_to'" if self.mode == "similar" else "'text'"
            raise WrongQueryError(f"The mode '{self.mode}' needs the field {needed}.", "text")
