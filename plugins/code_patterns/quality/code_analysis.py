"""What a parser finds in a piece of code, in the same form for every language."""

from dataclasses import dataclass
from typing import Literal

Parser = Literal["ast", "tree-sitter", "text", "none"]

REAL, THIN, STUB = 1.0, 0.5, 0.0
"""Substance of a function: real code; a constant, or a step to something else; nothing."""


class NotParsedError(Exception):
    """The code is not valid in the language; the text says why."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How the code was read.

    :param parser: ``ast``, ``tree-sitter``, ``text`` (the language-neutral fallback) or ``none`` (there is no code)
    :param language: the language, if it is known
    :param reason: why the fallback was used
    """

    parser: Parser
    language: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class FunctionAnalysis:
    """One function or method, including the functions inside it.

    :param name: its name; empty if it has none
    :param substance: 1 for real code, 0 for a stub, 0.5 for one that only returns a constant, stores its parameters or
        hands over to one other; ``None`` where the language needs no body: abstract methods, members of protocols and
        interfaces
    :param doc_words: words of its docstring or of the comment right before it
    :param cyclomatic: 1 plus its decisions
    :param is_async: whether it is asynchronous; ``None`` if the language does not mark that
    """

    name: str
    substance: float | None
    doc_words: int
    cyclomatic: int
    is_async: bool | None = None


@dataclass(frozen=True, slots=True)
class ClassAnalysis:
    """One class, or another named type.

    :param name: its name
    :param substance: as for a function, if the type has no methods; ``None`` if its methods count instead
    :param doc_words: words of its docstring or of the comment right before it
    """

    name: str
    substance: float | None
    doc_words: int


@dataclass(frozen=True, slots=True)
class CodeAnalysis:
    """The analysis of a piece of code.

    :param reading: how it was read
    :param functions: its functions and methods
    :param classes: its classes and other types
    :param rest: substance of the code outside of them, if there are none
    :param doc_words: words of the documentation at the head of the code
    :param hints: share of parameters and results with a type, 0 to 1; ``None`` if the language has no types
    :param comment_words: words in comments
    :param statements: number of statements
    :param cyclomatic: 1 plus the decisions of the most complex function
    """

    reading: Reading
    functions: tuple[FunctionAnalysis, ...] = ()
    classes: tuple[ClassAnalysis, ...] = ()
    rest: float = 0.0
    doc_words: int = 0
    hints: float | None = None
    comment_words: int = 0
    statements: int = 0
    cyclomatic: int = 1

    @property
    def completeness(self) -> float:
        """Share of the code that is more than a stub, 0 to 1; a getter beside real code takes nothing from it."""
        units = [unit.substance for unit in self.functions] + [unit.substance for unit in self.classes]
        asked = [substance for substance in units if substance is not None]
        if REAL in asked:
            asked = [substance for substance in asked if substance != THIN]
        if asked:
            return sum(asked) / len(asked)
        # An interface is whole without a body, one of its methods alone is not.
        return (REAL if self.classes else STUB) if self.functions else self.rest
