"""What a reader finds in a piece of code: facts without judgement, the same for every language."""

import re
from dataclasses import dataclass
from typing import Literal

Parser = Literal["ast", "tree-sitter", "text", "none"]

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{1,2}|[^\W_]+")
_DIRECTIVE = re.compile(
    r"[#/*\s!-]*(?:noqa|nosec|type:|pragma|pylint|ruff:|fmt:|isort:|mypy:|flake8|-\*-|eslint|tslint|prettier|@ts-|nolint|"
    r"rubocop|shellcheck|go:build|usr/bin|bin/)",
    re.IGNORECASE,
)
MAX_WORDS_READ = 20_000
"""Characters of a comment or docstring whose words are counted; more says nothing more."""


class NotParsedError(Exception):
    """The code is no valid text of the language; the text says why."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How code was read.

    :param parser: ``ast``, ``tree-sitter``, ``text`` (the language-neutral fallback) or ``none`` (there is no code)
    :param language: the language, where it is known
    :param reason: why the fallback had to be used
    """

    parser: Parser
    language: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class FunctionAnalysis:
    """One function or method; functions inside it belong to it.

    :param name: its name, empty where it has none
    :param substance: 1 for real code, 0 for a stub, 0.5 for one that only returns a constant; ``None`` where the
        language asks for no body: abstract methods, members of protocols and interfaces
    :param doc_words: words of its docstring or of the comment right before it
    :param cyclomatic: 1 plus its decisions
    :param is_async: whether it is asynchronous; ``None`` where the language does not mark it
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
    :param substance: as for a function, for a type without methods; ``None`` where its methods are what counts
    :param doc_words: words of its docstring or of the comment right before it
    """

    name: str
    substance: float | None
    doc_words: int


@dataclass(frozen=True, slots=True)
class CodeAnalysis:
    """What a piece of code holds.

    :param reading: how it was read
    :param functions: its functions and methods
    :param classes: its classes and other types
    :param rest: substance of the code outside of them, where there are none
    :param doc_words: words of the documentation at its head
    :param hints: share of parameters and results with a type, 0 to 1; ``None`` where the language has no such thing
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
        """Share of the code that is more than a stub, 0 to 1."""
        units = [unit.substance for unit in self.functions] + [unit.substance for unit in self.classes]
        asked = [substance for substance in units if substance is not None]
        if asked:
            return sum(asked) / len(asked)
        return 1.0 if self.functions else self.rest


def count_words(text: str) -> int:
    """Count the words; where a script has no blanks, two characters are a word."""
    return len(_WORD.findall(text[:MAX_WORDS_READ]))


def comment_words(comment: str) -> int:
    """Count the words of a comment; one that addresses a tool instead of a reader has none."""
    return 0 if _DIRECTIVE.match(comment) else count_words(comment)
