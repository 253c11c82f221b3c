"""The five dimensions, each 0 to 1. ``docs/quality.md`` defines every number here."""

import math
import re

from code_patterns.quality.code_analysis import ClassAnalysis, CodeAnalysis, FunctionAnalysis
from code_patterns.quality.comments import count_words
from code_patterns.quality.payload import NODE_TYPES, PatternPayload

WEIGHTS = {
    "completeness": 0.30,
    "documentation": 0.25,
    "onex_compliance": 0.20,
    "metadata_richness": 0.15,
    "complexity": 0.10,
}
ONEX_WEIGHT = WEIGHTS["onex_compliance"]
"""The weight of ONEX compliance if nobody chooses another."""
TIERS = (("excellent", 0.9), ("good", 0.7), ("fair", 0.5), ("poor", 0.0))

DESCRIPTION = 0.15
COMMENTS, HINTS = 0.50, 0.25
"""What comments and type hints add, as a share of what the docstrings leave open."""
DOCSTRING_WORDS = 40
"""Words of a docstring for the full mark; a quarter of them, a sentence, earns half."""
DESCRIPTION_WORDS = 8
"""Words of a description for the full mark."""
COMMENT_WORDS_PER_STATEMENT = 2.0
"""Words in comments, per statement, for the full mark."""

NODE_TYPE_DECLARED, NODE_TYPE_IN_NAME, NODE_METHOD = 0.40, 0.25, 0.35
SYNCHRONOUS_METHOD = 0.5
"""Share of the method's part for a method that is not asynchronous."""
NO_NODE = 0.30
"""For code that is no node and does not claim to be one."""
METHODS = {
    "effect": ("execute", "effect"),
    "compute": ("execute", "compute"),
    "reducer": ("execute", "reduction"),
    "orchestrator": ("execute", "orchestration"),
}

USE_CASES, EXAMPLES, FURTHER_FIELDS = 0.30, 0.30, 0.40
FULL_USE_CASES, FULL_EXAMPLES, FULL_FURTHER_FIELDS = 3, 2, 8

LEVELS = ("low", "medium", "high")
MOST_LOW, MOST_MEDIUM = 5, 10
"""Largest cyclomatic complexity that is low, and largest that is medium."""
UNDECLARED = {"low": 0.7, "medium": 0.5, "high": 0.3}
"""Complexity by the measured level, if none is declared: a wrong one is worse than none."""
AGREEMENT = (1.0, 0.25, 0.0)
"""Complexity by how many levels the declared one is off."""

_IDENTIFIER_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def completeness(facts: CodeAnalysis) -> float:
    """Real code, not stubs: the mean over the functions."""
    return facts.completeness


def documentation(facts: CodeAnalysis, payload: PatternPayload) -> float:
    """Docstrings, type hints and comments of the code, and a description beside it.

    Comments and hints fill a part of what the docstrings leave open: no code needs all three.
    """
    open_part = (1 - _docstrings(facts)) * (1 - COMMENTS * _comments(facts)) * (1 - HINTS * (facts.hints or 0.0))
    share = 1 - open_part
    description = min(1.0, count_words(payload.description) / DESCRIPTION_WORDS)
    return (1 - DESCRIPTION) * share + DESCRIPTION * description


def onex_compliance(facts: CodeAnalysis, payload: PatternPayload) -> float:
    """The ONEX node conventions: a declared type, the type in a name, the type's own method, asynchronous."""
    methods = {tuple(words_of(function.name)): function for function in facts.functions}
    present = next((kind for kind in NODE_TYPES if METHODS[kind] in methods), None)
    node_type = payload.node_type or present
    if node_type is None:
        return NO_NODE
    score = NODE_TYPE_DECLARED if payload.node_type else 0.0
    if any(node_type in words_of(name) for name in (payload.name, *(item.name for item in facts.classes))):
        score += NODE_TYPE_IN_NAME
    if method := methods.get(METHODS[node_type]):
        score += NODE_METHOD * (SYNCHRONOUS_METHOD if method.is_async is False else 1.0)
    return max(score, NO_NODE)


def metadata_richness(payload: PatternPayload) -> float:
    """Use cases, examples and further fields, each up to a number for the full mark."""
    return (
        USE_CASES * min(1.0, payload.use_cases / FULL_USE_CASES)
        + EXAMPLES * min(1.0, payload.examples / FULL_EXAMPLES)
        + FURTHER_FIELDS * min(1.0, payload.further_fields / FULL_FURTHER_FIELDS)
    )


def complexity(facts: CodeAnalysis, payload: PatternPayload) -> float:
    """Whether the declared level is the measured one; in a stub there is nothing to measure."""
    if facts.completeness == 0:
        return 0.0
    measured = level_of(facts.cyclomatic)
    if payload.complexity is None:
        return UNDECLARED[measured]
    return AGREEMENT[abs(LEVELS.index(payload.complexity) - LEVELS.index(measured))]


def weights_with(onex_weight: float) -> dict[str, float]:
    """The weights of the five dimensions, if ONEX compliance has another one than usual.

    :param onex_weight: its weight, 0 to 1; the other four share the rest in proportion
    """
    if onex_weight == ONEX_WEIGHT:
        return WEIGHTS
    share = (1 - onex_weight) / (1 - ONEX_WEIGHT)
    return {name: weight * share for name, weight in WEIGHTS.items()} | {"onex_compliance": onex_weight}


def level_of(cyclomatic: int) -> str:
    """Name the level of a cyclomatic complexity."""
    return "low" if cyclomatic <= MOST_LOW else "medium" if cyclomatic <= MOST_MEDIUM else "high"


def tier_of(composite: float) -> str:
    """Name the tier of a composite."""
    return next(name for name, least in TIERS if composite >= least)


def words_of(identifier: str) -> list[str]:
    """Split an identifier such as ``NodeWriterEffect`` or ``execute_effect`` into its words, in lower case."""
    return [word.lower() for word in _IDENTIFIER_WORD.findall(identifier[:200])]


def _docstrings(facts: CodeAnalysis) -> float:
    """Mean over functions and classes; special methods count only if there is nothing else."""
    units: list[FunctionAnalysis | ClassAnalysis] = [*facts.functions, *facts.classes]
    ordinary = [unit for unit in units if not (unit.name.startswith("__") and unit.name.endswith("__"))]
    words = [unit.doc_words for unit in ordinary or units] or [facts.doc_words]
    return sum(math.sqrt(min(1.0, count / DOCSTRING_WORDS)) for count in words) / len(words)


def _comments(facts: CodeAnalysis) -> float:
    """Words in comments per statement; comments in stubs do not count."""
    if not facts.statements:
        return 0.0
    words = facts.comment_words / facts.statements
    return min(1.0, words / COMMENT_WORDS_PER_STATEMENT) * facts.completeness
