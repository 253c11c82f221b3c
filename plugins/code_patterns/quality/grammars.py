"""The node types of the grammars: functions, blocks and decisions in each language.

``grammars.toml`` has what differs between the languages; this module has what they share.
"""

import importlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from tree_sitter import Language, Parser


def _types(names: str) -> frozenset[str]:
    return frozenset(names.split())


@dataclass(frozen=True)
class Grammar:
    """One language. Every set holds names of node types.

    :param language: its name
    :param module: the Python module of its grammar
    :param function: the module's function that returns the grammar
    :param functions: functions and methods that have a body
    :param members: declarations inside a type that need no body
    :param declarations: declarations of a function that is defined elsewhere
    :param ambiguous: declarations of a variable or of a function
    :param classes: classes and other named types
    :param blocks: nodes whose children are statements or members
    :param decisions: nodes that add one way through the code
    :param imports: nodes that only name other code
    :param hints: whether parameters have types: ``always``, ``optional`` or ``never``
    :param marks_async: whether the language marks asynchronous functions
    :param omits_empty_body: whether an empty body has no node, so that a missing body means a stub
    :param wrapping: text to put before and after a fragment that is valid only inside a type
    :param ascii_only: whether its scanner asks C's ``isdigit()`` about any character: one beyond ASCII may end the
        process, or let it hang
    """

    language: str
    module: str
    functions: frozenset[str]
    blocks: frozenset[str]
    decisions: frozenset[str]
    classes: frozenset[str] = frozenset()
    imports: frozenset[str] = frozenset()
    members: frozenset[str] = frozenset()
    declarations: frozenset[str] = frozenset()
    ambiguous: frozenset[str] = frozenset()
    function: str = "language"
    hints: Literal["always", "optional", "never"] = "always"
    marks_async: bool = False
    omits_empty_body: bool = False
    wrapping: tuple[str, str] | None = None
    ascii_only: bool = False

    @cache  # noqa: B019 - there are a dozen of them, for the life of the process
    def parser(self) -> Parser:
        """Load the grammar, once."""
        return Parser(Language(getattr(importlib.import_module(self.module), self.function)()))


_NODE_TYPES = _types("functions classes blocks decisions imports members declarations ambiguous")


def _read(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Grammar]:
    settings: dict[str, dict[str, Any]] = {}
    for language, table in tables.items():
        given = dict(table)
        inherited = settings.get(given.pop("like", ""), {})
        for key in _NODE_TYPES & given.keys():
            names = _types(given[key])
            given[key] = inherited[key] | names - {"+"} if "+" in names else names
        if "wrapping" in given:
            given["wrapping"] = tuple(given["wrapping"])
        settings[language] = inherited | given
    return {language: Grammar(language=language, **given) for language, given in settings.items()}


GRAMMARS = _read(tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8")))
"""The languages that have a grammar, by name."""

OPERATORS = _types("&& || and or")
"""Operators that decide whether their right side is evaluated."""
OPERATOR_PARENTS = _types("binary_expression binary list let_chain")
"""Nodes in which these are operators, not a reference or a pattern."""
CATCH_ALL = _types("default default_case _ else")
"""First children of a default case."""
COMMENTS = _types("comment line_comment block_comment")
TRANSPARENT = _types("attribute_item decorator annotation")
"""Nodes that may stand between a comment and what it describes."""
OPERATIONS = _types(
    """call_expression method_invocation object_creation_expression explicit_constructor_invocation new_expression call
    command macro_invocation invocation_expression pipeline test_command binary_expression binary update_expression
    augmented_assignment_expression compound_assignment_expr operator_assignment inc_statement dec_statement
    postfix_unary_expression yield_expression"""
)
"""Calls and operators."""
ASSIGNMENTS = _types("assignment_expression assignment_statement")
"""Assignments that may hold an operator, such as ``+=``."""
LITERALS = _types(
    """string string_literal interpreted_string_literal raw_string_literal template_string number number_literal
    integer integer_literal int_literal decimal_integer_literal float float_literal real_literal char_literal
    character_literal rune_literal string_content heredoc_body"""
)
CONSTRUCTING = _types("field_initializer_list constructor_initializer")
"""What a constructor does before its body."""
