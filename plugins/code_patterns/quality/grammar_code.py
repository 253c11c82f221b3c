"""Analyse other languages than Python by their tree-sitter grammars."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tree_sitter import Node

from code_patterns.quality import thin
from code_patterns.quality.code_analysis import (
    REAL,
    THIN,
    ClassAnalysis,
    CodeAnalysis,
    FunctionAnalysis,
    NotParsedError,
    Reading,
)
from code_patterns.quality.comments import comment_words
from code_patterns.quality.grammars import (
    CATCH_ALL,
    COMMENTS,
    CONSTRUCTING,
    GRAMMARS,
    OPERATOR_PARENTS,
    OPERATORS,
    TRANSPARENT,
    Grammar,
)
from code_patterns.quality.stubs import statement_substance

__all__ = ["GRAMMARS", "read"]

MAX_BYTES = 64 * 1024
"""Longest code that is parsed."""
STEP_BYTES = 2 * 1024
"""How much longer each trial is: text that cannot be parsed in bounded time shows on a short piece."""
MAX_SECONDS_PER_BYTE = 5e-6
"""Processor time after which a trial is given up; ordinary code takes a tenth of it."""
MIN_SECONDS = 0.02
MAX_SECONDS = 1.0
"""Processor time for all trials of one text."""

_TYPED_PARAMETERS = frozenset({"required_parameter", "optional_parameter"})
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_PROPERTY_PARAMETER = re.compile(rb"\b(?:private|public|protected|readonly)\s")
_NAMING = frozenset({"variable_declarator", "assignment_expression", "pair", "public_field_definition"})
_MAX_HEAD = 2_000


@dataclass(slots=True)
class _Found:
    """What the walk has found so far."""

    functions: list[FunctionAnalysis] = field(default_factory=list)
    declared: list[FunctionAnalysis] = field(default_factory=list)
    classes: list[ClassAnalysis] = field(default_factory=list)
    comment_words: int = 0
    doc_words: int = 0
    statements: int = 0
    hinted: int = 0
    hintable: int = 0
    decisions: int = 0
    rest: float = 0.0
    top: list[Node] = field(default_factory=list)


def read(code: str, language: str) -> CodeAnalysis:
    """Analyse code in a language of :data:`~code_patterns.quality.grammars.GRAMMARS`.

    :param code: a file or a part of one
    :param language: its canonical name
    :raises NotParsedError: the code is not valid in the language, is too long, or takes too long
    """
    grammar = GRAMMARS[language]
    root = _parse(code, grammar)
    found = _Found()
    _walk(root, grammar, found)
    # A declaration beside its definition does not count; alone it is a stub.
    functions = found.functions or found.declared
    return CodeAnalysis(
        reading=Reading("tree-sitter", language),
        functions=tuple(functions),
        classes=tuple(found.classes),
        rest=_rest(found.top, grammar),
        doc_words=found.doc_words,
        hints=_hints(grammar, found),
        comment_words=found.comment_words,
        statements=max(found.statements, 1),
        cyclomatic=max([1 + found.decisions, *(function.cyclomatic for function in functions)]),
    )


def _parse(code: str, grammar: Grammar) -> Node:
    if grammar.ascii_only:
        code = _BEYOND_ASCII.sub("x", code)
    # Some grammars need the end of the last line.
    text = code.encode("utf-8", "replace") + b"\n"
    if len(text) > MAX_BYTES:
        raise NotParsedError(f"longer than {MAX_BYTES} bytes")
    root = _parse_bounded(text, grammar)
    if root.has_error and grammar.wrapping:
        before, after = (part.encode() for part in grammar.wrapping)
        root = _parse_bounded(before + text + after, grammar)
    if root.has_error:
        raise NotParsedError(f"no valid {grammar.language}")
    return root


def _parse_bounded(text: bytes, grammar: Grammar) -> Node:
    """Parse longer and longer beginnings of a text, and give up when one takes too long.

    The parser has no limit of its own: 60 KB of an operator between commas took it 20 GB.
    """
    parser = grammar.parser()
    length, spent = 0, 0.0
    while length < len(text):
        length = min(length + STEP_BYTES, len(text))
        begun = time.thread_time()
        tree = parser.parse(text[:length])
        seconds = time.thread_time() - begun
        spent += seconds
        if seconds > max(MIN_SECONDS, length * MAX_SECONDS_PER_BYTE) or spent > MAX_SECONDS:
            raise NotParsedError(f"no valid {grammar.language}: takes too long to parse")
    return tree.root_node


def _walk(root: Node, grammar: Grammar, found: _Found) -> None:
    """Record every function and class that is not inside a function, and measure the code outside them."""
    pending = 0
    first = True
    stack: list[tuple[Node, bool]] = [(root, False)]
    doc_words = 0
    while stack:
        node, is_statement = stack.pop()
        kind = node.type
        if kind in COMMENTS:
            words = _words_of(node)
            found.comment_words += words
            pending += words
            continue
        if is_statement and kind not in TRANSPARENT:
            # A comment right before a statement documents what the statement defines.
            doc_words, pending = pending, 0
            found.statements += 1
            if first:
                found.doc_words, first = doc_words, False
        if kind in grammar.functions:
            _add_function(node, doc_words, grammar, found)
            found.comment_words -= doc_words
            doc_words = 0
            continue
        if kind in grammar.members or kind in grammar.declarations:
            if kind in grammar.ambiguous and not _is_prototype(node):
                stack.extend((child, False) for child in reversed(node.children))
                continue
            name = _name(node)
            substance = None if kind in grammar.members else 0.0
            facts = FunctionAnalysis(name, substance, doc_words, 1, _is_async(node, grammar))
            (found.functions if substance is None else found.declared).append(facts)
            _count_hints(node, grammar, found)
            found.comment_words -= doc_words
            doc_words = 0
            continue
        if kind in grammar.classes and node.is_named:
            _add_class(node, doc_words, grammar, found)
            found.comment_words -= doc_words
            doc_words = 0
        found.decisions += _decisions(node, grammar)
        in_block = kind in grammar.blocks
        children = node.children
        if node is root:
            found.top = [child for child in children if child.is_named and child.type not in COMMENTS]
        stack.extend((child, in_block and child.is_named) for child in reversed(children))


def _add_function(node: Node, doc_words: int, grammar: Grammar, found: _Found) -> None:
    body = _body(node)
    decisions, statements, comments = 1, 1, 0
    stack = list(node.children)
    while stack:
        child = stack.pop()
        kind = child.type
        if kind in COMMENTS:
            comments += _words_of(child)
            continue
        decisions += _decisions(child, grammar)
        children = child.children
        if kind in grammar.blocks:
            statements += sum(item.is_named and item.type not in COMMENTS for item in children)
        stack.extend(children)
    found.comment_words += comments
    found.statements += statements
    _count_hints(node, grammar, found)
    substance = _substance(node, body, grammar)
    if substance == REAL and decisions == 1 and thin.is_thin_node(node, grammar):
        substance = THIN
    found.functions.append(
        FunctionAnalysis(
            name=_name(node),
            substance=substance,
            doc_words=doc_words,
            cyclomatic=decisions,
            is_async=_is_async(node, grammar),
        )
    )


def _add_class(node: Node, doc_words: int, grammar: Grammar, found: _Found) -> None:
    name = node.child_by_field_name("name")
    inside = list(_members(node, grammar))
    methods = any(_holds_function(item, grammar) for item in inside)
    substance = None if methods else 1.0 if inside or node.child_by_field_name("body") is None else 0.0
    if name is not None:
        found.classes.append(ClassAnalysis(_text(name), substance, doc_words))


def _members(node: Node, grammar: Grammar) -> Iterator[Node]:
    for child in node.named_children:
        if child.type in grammar.blocks:
            yield from (item for item in child.named_children if item.type not in COMMENTS)
        elif child.type in ("struct_type", "interface_type", "value", "type"):
            yield from _members(child, grammar)


def _holds_function(node: Node, grammar: Grammar) -> bool:
    if node.type in grammar.ambiguous:
        return _is_prototype(node)
    wanted = grammar.functions | grammar.members
    return node.type in wanted or any(child.type in wanted for child in node.named_children)


def _body(node: Node) -> Node | None:
    body = node.child_by_field_name("body")
    if body is None or body.type != "block" or len(body.named_children) != 1:
        return body
    [only] = body.named_children
    return only if only.type == "statement_list" else body


def _substance(node: Node, body: Node | None, grammar: Grammar) -> float | None:
    """Return 0 for a stub, 0.5 for a constant, 1 for real code, ``None`` for what needs no body."""
    if body is None:
        return 0.0 if grammar.omits_empty_body else None
    if body.type not in grammar.blocks and body.type != "block":
        return statement_substance(_text(body).removeprefix("=>"))
    inside = [child for child in body.named_children if child.type not in COMMENTS and child.type != "empty_statement"]
    if not inside:
        return 1.0 if _initialises(node) else 0.0
    return statement_substance(_text(inside[0])) if len(inside) == 1 else 1.0


def _initialises(node: Node) -> bool:
    """Whether a constructor has work before its body: C++ initialisers, TypeScript's parameter properties."""
    if any(child.type in CONSTRUCTING for child in node.children):
        return True
    parameters = node.child_by_field_name("parameters")
    return parameters is not None and bool(_PROPERTY_PARAMETER.search((parameters.text or b"")[:_MAX_HEAD]))


def _decisions(node: Node, grammar: Grammar) -> int:
    kind = node.type
    if kind in grammar.decisions and node.is_named:
        return int(not _is_catch_all(node))
    if kind in OPERATOR_PARENTS:
        return sum(child.type in OPERATORS for child in node.children)
    return 0


def _is_catch_all(node: Node) -> bool:
    """Whether a case is the default."""
    kind = node.type
    if kind == "case_item":
        value = node.child_by_field_name("value")
        return value is not None and value.text == b"*"
    if kind == "match_arm":
        pattern = node.child_by_field_name("pattern")
        return pattern is not None and pattern.text == b"_"
    if not kind.startswith(("case", "switch")) or not node.children:
        return False
    first = node.children[0]
    return first.type in CATCH_ALL or first.type == "discard" or (first.text or b"").startswith(b"default")


def _is_async(node: Node, grammar: Grammar) -> bool | None:
    if not grammar.marks_async:
        return None
    heads = (child for child in node.children if "modifier" in child.type or child.type == "async")
    return any(b"async" in (head.text or b"") for head in heads)


def _count_hints(node: Node, grammar: Grammar, found: _Found) -> None:
    if grammar.hints != "optional":
        return
    parameters = node.child_by_field_name("parameters")
    typed = [child for child in parameters.named_children if child.type in _TYPED_PARAMETERS] if parameters else []
    found.hinted += sum(child.child_by_field_name("type") is not None for child in typed)
    found.hintable += len(typed)
    if _name(node) != "constructor":
        found.hinted += node.child_by_field_name("return_type") is not None
        found.hintable += 1


def _hints(grammar: Grammar, found: _Found) -> float | None:
    if grammar.hints == "never":
        return None
    if grammar.hints == "always":
        return 1.0
    return found.hinted / found.hintable if found.hintable else None


def _rest(top: list[Node], grammar: Grammar) -> float:
    """Return the substance of code without functions and types; 0.5 for imports alone."""
    others = [node for node in top if node.type not in grammar.imports]
    if not others:
        return 0.5 if top else 0.0
    return statement_substance(_text(others[0])) if len(others) == 1 else 1.0


def _is_prototype(node: Node) -> bool:
    declarator = node.child_by_field_name("declarator")
    while declarator is not None and declarator.type != "function_declarator":
        declarator = declarator.child_by_field_name("declarator")
    return declarator is not None


def _name(node: Node) -> str:
    """Return a function's name. In C and C++ the declarator holds it; some are named by an assignment."""
    name = node.child_by_field_name("name")
    declarator = node.child_by_field_name("declarator")
    while name is None and declarator is not None:
        inner = declarator.child_by_field_name("declarator")
        name, declarator = (declarator, None) if inner is None else (None, inner)
    if name is None and node.parent is not None and node.parent.type in _NAMING:
        name = node.parent.children[0]
    return _text(name) if name is not None else ""


def _words_of(comment: Node) -> int:
    return comment_words(_text(comment))


def _text(node: Node) -> str:
    return (node.text or b"")[:64_000].decode("utf-8", "replace")
