"""The five dimensions, each 0 to 1. ``docs/quality.md`` defines every number here."""

import re

from code_patterns.quality.code_analysis import ClassAnalysis, CodeAnalysis, FunctionAnalysis, count_words
from code_patterns.quality.payload import NODE_TYPES, PatternPayload

WEIGHTS = {
    "completeness": 0.30,
    "documentation": 0.25,
    "onex_compliance": 0.20,
    "metadata_richness": 0.15,
    "complexity": 0.10,
}
TIERS = (("excellent", 0.9), ("good", 0.7), ("fair", 0.5), ("poor", 0.0))

DOCSTRING, HINTS, COMMENTS, DESCRIPTION = 0.40, 0.30, 0.15, 0.15
DOCSTRING_WORDS = 10
"""Words of a docstring for the full mark."""
DESCRIPTION_WORDS = 8
"""Words of a description for the full mark."""
COMMENT_WORDS_PER_STATEMENT = 1.0
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
UNDECLARED = 0.5
AGREEMENT = (1.0, 0.25, 0.0)
"""Complexity by how many levels the declared one is off."""

_IDENTIFIER_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def completeness(facts: CodeAnalysis) -> float:
    """Real code, not stubs: the mean over the functions."""
    return facts.completeness


def documentation(facts: CodeAnalysis, payload: PatternPayload) -> float:
    """Docstrings, type hints and comments of the code, and a description beside it.

    A part that the language does not have is left out, and the other parts of the code's documentation weigh more.
    """
    parts = [
        (DOCSTRING, _docstrings(facts)),
        (COMMENTS, _comments(facts)),
        *([(HINTS, facts.hints)] if facts.hints is not None else []),
    ]
    share = sum(weight * value for weight, value in parts) / sum(weight for weight, _ in parts)
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
    if payload.complexity is None:
        return UNDECLARED
    return AGREEMENT[abs(LEVELS.index(payload.complexity) - LEVELS.index(level_of(facts.cyclomatic)))]


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
    return sum(min(1.0, count / DOCSTRING_WORDS) for count in words) / len(words)


def _comments(facts: CodeAnalysis) -> float:
    """Words in comments per statement; comments in stubs do not count."""
    if not facts.statements:
        return 0.0
    words = facts.comment_words / facts.statements
    return min(1.0, words / COMMENT_WORDS_PER_STATEMENT) * facts.completeness
