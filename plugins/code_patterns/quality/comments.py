"""What a comment or docstring says, in words."""

import re

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{1,2}|[^\W_]+")
_OPEN = re.compile(r"[#/*;!\s-]*(?:todo|fixme|xxx|hack)\b", re.IGNORECASE)
"""A comment that names what is missing."""
_DOC_COMMENT = ("/**", "///", "//!")
_SWITCHED_OFF = re.compile(
    r"[#/*;\s-]*(?:"
    r"[{}()\s;]*[{};]|"
    r"[^'\"]*(?:[(=]|\w\.\w|->)[^'\"]*[;{}]|"
    r"(?:\}\s*)?(?:return|if|else|elif|for|while|try|catch|except|def|function|var|let|const|throw|raise)\b.*[:;({})]|"
    r"[\w.\[\]>-]+(?:\s*,\s*\w+)*\s*[-+*/|&]?=(?![=>])\s*\S(?:(?!\.\s).)*|"
    r"[\w.:>-]+\([^()]*(?:\([^()]*\)[^()]*)*\)"
    r")\s*(?:\*/)?\s*"
)
"""A line of a comment that is code."""
_DIRECTIVE = re.compile(
    r"[#/*\s!-]*(?:noqa|nosec|type:|pragma|pylint|ruff:|fmt:|isort:|mypy:|flake8|-\*-|eslint|tslint|prettier|@ts-|nolint|"
    r"rubocop|shellcheck|go:build|usr/bin|bin/)",
    re.IGNORECASE,
)
MAX_LINE_OF_CODE = 200
"""Longest line of a comment that may be code, in characters."""
MAX_WORDS_READ = 20_000
"""Characters of a comment or docstring in which words are counted."""


def count_words(text: str) -> int:
    """Count the words; in a script without blanks, two characters count as a word."""
    return len(_WORD.findall(text[:MAX_WORDS_READ]))


def comment_words(comment: str) -> int:
    """Count the words of a comment that explain something.

    A comment for a tool has none. Lines that are code, and lines that only say what is missing, have none either.
    """
    if _DIRECTIVE.match(comment):
        return 0
    if comment.startswith(_DOC_COMMENT):
        return count_words(comment)
    lines = comment[:MAX_WORDS_READ].splitlines()
    return sum(count_words(line) for line in lines if not (_OPEN.match(line) or _is_code(line)))


def _is_code(line: str) -> bool:
    return len(line) <= MAX_LINE_OF_CODE and _SWITCHED_OFF.fullmatch(line) is not None
