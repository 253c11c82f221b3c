"""Score one pattern from its Qdrant payload."""

from dataclasses import dataclass
from typing import Any

from code_patterns.quality import dimensions, plain_text
from code_patterns.quality.code_analysis import CodeAnalysis, Reading
from code_patterns.quality.dimensions import ONEX_WEIGHT, WEIGHTS
from code_patterns.quality.languages import language_of
from code_patterns.quality.parsing import read_code
from code_patterns.quality.payload import PatternPayload, read_payload

VERSION = "2.1.0"
"""Version of the definitions; it changes with every change of one. See also :func:`version_of`."""

DECIMALS = 4


@dataclass(frozen=True, slots=True)
class QualityScore:
    """The quality of one pattern; every number is from 0 to 1 unless said otherwise.

    :param completeness: real code, not stubs
    :param documentation: docstrings, comments, type hints, a description
    :param onex_compliance: follows the ONEX node conventions
    :param metadata_richness: use cases, examples, further fields
    :param complexity: measured complexity agrees with the declared one
    :param composite: the weighted sum of the five
    :param confidence: the payload's own confidence
    :param tier: ``excellent``, ``good``, ``fair`` or ``poor``
    :param reading: how the code was read
    :param cyclomatic: measured cyclomatic complexity of the most complex function, 1 or more
    :param measured_complexity: its level, ``low``, ``medium`` or ``high``
    :param onex_weight: weight of ``onex_compliance`` in the composite
    """

    completeness: float
    documentation: float
    onex_compliance: float
    metadata_richness: float
    complexity: float
    composite: float
    confidence: float
    tier: str
    reading: Reading
    cyclomatic: int
    measured_complexity: str
    onex_weight: float = ONEX_WEIGHT

    @property
    def version(self) -> str:
        """Version of the definitions, with the weight if that is not the usual one."""
        return version_of(self.onex_weight)

    @property
    def dimensions(self) -> dict[str, float]:
        """The five dimensions by name."""
        return {name: getattr(self, name) for name in WEIGHTS}


def version_of(onex_weight: float) -> str:
    """Name the definitions and the weight: ``2.1.0``, or ``2.1.0+onex0`` for another weight than the usual one.

    Composites of two versions are not comparable.
    """
    return VERSION if onex_weight == ONEX_WEIGHT else f"{VERSION}+onex{onex_weight:g}"


def score_pattern(payload: Any, onex_weight: float = ONEX_WEIGHT) -> QualityScore:
    """Score a pattern from its payload; never raises because of the payload.

    :param payload: a Qdrant payload; ``None`` and anything that is no mapping count as empty
    :param onex_weight: weight of ``onex_compliance``, 0 to 1 with at most four decimals; the others share the rest
    """
    pattern = read_payload(payload)
    return _score(pattern, read_code(pattern.code, pattern.language, pattern.file_path), onex_weight)


def score_as_text(payload: Any, reason: str, onex_weight: float = ONEX_WEIGHT) -> QualityScore:
    """Score a pattern without a parser.

    :param reason: why no parser can read its code
    """
    pattern = read_payload(payload)
    facts = plain_text.read(pattern.code, language_of(pattern.language, pattern.file_path), reason)
    return _score(pattern, facts, onex_weight)


def _score(pattern: PatternPayload, facts: CodeAnalysis, onex_weight: float) -> QualityScore:
    found = {
        "completeness": dimensions.completeness(facts),
        "documentation": dimensions.documentation(facts, pattern),
        "onex_compliance": dimensions.onex_compliance(facts, pattern),
        "metadata_richness": dimensions.metadata_richness(pattern),
        "complexity": dimensions.complexity(facts, pattern),
    }
    rounded = {name: round(value, DECIMALS) for name, value in found.items()}
    weights = dimensions.weights_with(onex_weight)
    composite = round(sum(weight * rounded[name] for name, weight in weights.items()), DECIMALS)
    return QualityScore(
        completeness=rounded["completeness"],
        documentation=rounded["documentation"],
        onex_compliance=rounded["onex_compliance"],
        metadata_richness=rounded["metadata_richness"],
        complexity=rounded["complexity"],
        composite=composite,
        confidence=pattern.confidence,
        tier=dimensions.tier_of(composite),
        reading=facts.reading,
        cyclomatic=facts.cyclomatic,
        measured_complexity=dimensions.level_of(facts.cyclomatic),
        onex_weight=onex_weight,
    )
