"""Recognise thin functions: a getter, a delegation of one call, a constructor that only stores its parameters.

They are no stubs, and there is little to find in them.
"""

import ast
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from tree_sitter import Node

from code_patterns.quality.grammars import ASSIGNMENTS, CONSTRUCTING, LITERALS, OPERATIONS, Grammar

Operation = Literal["operation", "literal", "content"]
"""What a body does, by kind: a call or an operator, a literal, anything larger."""

MOST_OPERATIONS = 1
MOST_LITERALS = 8
"""More literals are a table, and a table is content."""
MOST_CHARACTERS = 200
"""Characters of a literal; a longer text is content."""

_PYTHON = (ast.Call, ast.BinOp, ast.Compare, ast.AugAssign, ast.JoinedStr, ast.Yield, ast.YieldFrom, ast.Delete)


def is_thin_python(body: Sequence[ast.stmt]) -> bool:
    """Whether a body of Python without decisions is thin.

    :param body: its statements, without the docstring
    """
    return _is_thin(_of_python(body))


def is_thin_node(function: Node, grammar: Grammar) -> bool:
    """Whether a function without decisions is thin, in a language that has a grammar."""
    return _is_thin(_of_node(function, grammar))


def _is_thin(operations: Iterable[Operation]) -> bool:
    done = literals = 0
    for operation in operations:
        done += operation == "operation"
        literals += operation == "literal"
        if operation == "content" or done > MOST_OPERATIONS or literals > MOST_LITERALS:
            return False
    return True


def _of_python(body: Sequence[ast.stmt]) -> Iterator[Operation]:
    stack: list[ast.AST] = list(body)
    while stack:
        node = stack.pop()
        if isinstance(node, _PYTHON):
            yield "operation"
        elif isinstance(node, ast.Constant):
            long = isinstance(node.value, str | bytes) and len(node.value) > MOST_CHARACTERS
            yield "content" if long else "literal"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield "content"
        for name, value in ast.iter_fields(node):
            # Annotations are not executed.
            inside = [] if name == "annotation" else value if isinstance(value, list) else [value]
            stack.extend(item for item in inside if isinstance(item, ast.AST))


def _of_node(function: Node, grammar: Grammar) -> Iterator[Operation]:
    """What the body holds, and what a constructor does before its body."""
    body = function.child_by_field_name("body")
    stack = list(function.named_children) if body is None else [body]
    stack += [child for child in function.named_children if child.type in CONSTRUCTING]
    while stack:
        node = stack.pop()
        kind = node.type
        if kind in OPERATIONS or (kind in ASSIGNMENTS and _computes(node)):
            yield "operation"
        elif kind in LITERALS:
            yield "content" if node.end_byte - node.start_byte > MOST_CHARACTERS else "literal"
        elif kind in grammar.functions:
            yield "content"
        stack.extend(node.named_children)


def _computes(assignment: Node) -> bool:
    operator = assignment.child_by_field_name("operator")
    return operator is not None and operator.text not in (b"=", b":=")
