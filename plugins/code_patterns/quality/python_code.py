"""Analyse Python by its own parser."""

import ast
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

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
from code_patterns.quality.comments import comment_words, count_words

MAX_CHARACTERS = 256 * 1024
"""Longest code that is parsed: a syntax tree takes about a hundred times the memory of its text."""

READING = Reading("ast", "python")

_STRING_OR_COMMENT = re.compile(
    r'"""(?:\\.|[^\\])*?"""|' r"'''(?:\\.|[^\\])*?'''|" r'"(?:\\.|[^"\\\n])*"|' r"'(?:\\.|[^'\\\n])*'|(#[^\n]*)",
    re.DOTALL,
)
_ABSTRACT = {"abstractmethod", "abstractproperty", "abstractclassmethod", "abstractstaticmethod"}
_NO_NODES = {"ctx", "op", "ops", "annotation", "returns", "type_params", "type_comment"}
_CHILDREN: dict[type, tuple[str, ...]] = {
    kind: tuple(name for name in kind._fields if name not in _NO_NODES)
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST)
} | {ast.Name: (), ast.Constant: (), ast.Import: (), ast.ImportFrom: (), ast.Global: (), ast.Nonlocal: ()}
"""Fields that can hold nodes which count; annotations are not executed, so they do not."""
_DECISIONS = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_TELLING = (*_DEFINITIONS, ast.Import, ast.ImportFrom, ast.For, ast.While, ast.If, ast.With, ast.Try)
"""Statements that distinguish Python from prose and from most other languages."""

AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True)
class _Found:
    """What the walk has found so far."""

    functions: list[FunctionAnalysis] = field(default_factory=list)
    overloads: list[FunctionAnalysis] = field(default_factory=list)
    classes: list[ClassAnalysis] = field(default_factory=list)
    statements: int = 0
    hinted: int = 0
    hintable: int = 0


def read(code: str, *, sniff: bool = False) -> CodeAnalysis:
    """Analyse Python code.

    :param code: a module or a part of one, at any indentation
    :param sniff: the language is a guess; refuse code that may be prose or another language
    :raises NotParsedError: the code is not Python, or too long
    """
    body = _parse(code)
    if sniff and not any(isinstance(node, _TELLING) for node in body):
        raise NotParsedError("no code that only Python has")
    found = _Found()
    documented = ast.Module(body=body, type_ignores=[])
    doc_words = _doc_words(documented)
    outside = _walk_definitions(body, found)
    cyclomatic = _measure(outside, found)
    if not found.functions and found.overloads:
        found.functions = found.overloads
    return CodeAnalysis(
        reading=READING,
        functions=tuple(found.functions),
        classes=tuple(found.classes),
        rest=_rest(body),
        doc_words=doc_words,
        hints=found.hinted / found.hintable if found.hintable else None,
        comment_words=_comment_words(code),
        statements=max(found.statements, 1),
        cyclomatic=max([cyclomatic, *(function.cyclomatic for function in found.functions)]),
    )


def _parse(code: str) -> list[ast.stmt]:
    if len(code) > MAX_CHARACTERS:
        raise NotParsedError(f"longer than {MAX_CHARACTERS} characters")
    text = code.lstrip("\ufeff\r\n")
    indented = text[:1] in (" ", "\t")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse("if 1:\n" + text if indented else text)
    except SyntaxError as error:
        raise NotParsedError(f"no valid Python: {error.msg}"[:200]) from None
    except ValueError:
        raise NotParsedError("no valid Python: characters that no source may hold") from None
    except (RecursionError, MemoryError):
        raise NotParsedError("no valid Python: nests too deeply") from None
    if indented and len(tree.body) == 1 and isinstance(tree.body[0], ast.If):
        return tree.body[0].body
    return tree.body


def _comment_words(code: str) -> int:
    if "#" not in code:
        return 0
    return sum(comment_words(text) for text in _STRING_OR_COMMENT.findall(code) if text)


def _walk_definitions(body: Sequence[ast.stmt], found: _Found) -> list[ast.AST]:
    """Record every function and class that is not inside a function; return the statements outside of them."""
    outside: list[ast.AST] = []
    stack: list[tuple[ast.stmt, bool]] = [(node, False) for node in reversed(body)]
    while stack:
        node, in_protocol = stack.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            _add_function(node, in_protocol, found)
        elif isinstance(node, ast.ClassDef):
            found.statements += 1
            methods = [item for item in node.body if isinstance(item, _DEFINITIONS)]
            substance = None if methods else _class_substance(node)
            found.classes.append(ClassAnalysis(node.name, substance, _doc_words(node)))
            protocol = any(_last_name(base) == "Protocol" for base in node.bases)
            stack.extend((item, protocol) for item in reversed(_without_docstring(node.body)))
        elif isinstance(node, ast.If | ast.Try | ast.With) and _holds_definition(node):
            parts = [node.body, getattr(node, "orelse", []), getattr(node, "finalbody", [])]
            parts += [handler.body for handler in getattr(node, "handlers", [])]
            stack.extend((item, in_protocol) for part in reversed(parts) for item in reversed(part))
        else:
            outside.append(node)
    return outside


def _holds_definition(node: ast.If | ast.Try | ast.With) -> bool:
    parts = [*node.body, *getattr(node, "orelse", [])]
    return any(isinstance(item, _DEFINITIONS) for item in parts)


def _add_function(node: AnyFunction, in_protocol: bool, found: _Found) -> None:
    decorators = {_last_name(decorator) for decorator in node.decorator_list}
    substance: float | None = _substance(node.body)
    if substance == 0 and (in_protocol or decorators & _ABSTRACT):
        substance = None
    _count_hints(node, found)
    cyclomatic = _measure([node], found)
    if substance == REAL and cyclomatic == 1 and thin.is_thin_python(_without_docstring(node.body)):
        substance = THIN
    facts = FunctionAnalysis(
        name=node.name,
        substance=substance,
        doc_words=_doc_words(node),
        cyclomatic=cyclomatic,
        is_async=isinstance(node, ast.AsyncFunctionDef),
    )
    (found.overloads if "overload" in decorators else found.functions).append(facts)


def _measure(roots: Sequence[ast.AST], found: _Found) -> int:
    """Count decisions, statements and hints of whole subtrees; return the cyclomatic complexity."""
    decisions, statements = 1, 0
    stack = list(roots)
    while stack:
        node = stack.pop()
        kind = node.__class__
        if isinstance(node, ast.stmt):
            statements += 1
            if isinstance(node, _DEFINITIONS):
                statements -= _docstring(node.body) is not None
            elif kind is ast.AnnAssign:
                found.hinted += 1
                found.hintable += 1
        if isinstance(node, _DECISIONS):
            decisions += 1
        elif kind is ast.BoolOp:
            decisions += len(node.values) - 1  # type: ignore[attr-defined]
        elif kind is ast.comprehension:
            decisions += 1 + len(node.ifs)  # type: ignore[attr-defined]
        elif kind is ast.match_case:
            decisions += not _matches_all(node.pattern)  # type: ignore[attr-defined]
        for name in _CHILDREN[kind]:
            value = getattr(node, name, None)
            if value.__class__ is list:
                stack.extend([item for item in value if isinstance(item, ast.AST)])
            elif isinstance(value, ast.AST):
                stack.append(value)
    found.statements += statements
    return decisions


def _matches_all(pattern: ast.pattern) -> bool:
    return isinstance(pattern, ast.MatchAs) and pattern.pattern is None


def _count_hints(node: AnyFunction, found: _Found) -> None:
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    if positional and positional[0].arg in ("self", "cls") and positional[0].annotation is None:
        positional = positional[1:]
    every = [*positional, *arguments.kwonlyargs, *filter(None, (arguments.vararg, arguments.kwarg))]
    found.hinted += sum(argument.annotation is not None for argument in every) + (node.returns is not None)
    found.hintable += len(every) + 1


def _substance(body: Sequence[ast.stmt]) -> float:
    """Return 0 for a stub, 0.5 for a constant, 1 for real code."""
    real = [node for node in body if not _is_filler(node)]
    if not real:
        return 0.0
    if len(real) > 1:
        return 1.0
    [only] = real
    if isinstance(only, ast.Raise) and only.exc is not None:
        raised = only.exc.func if isinstance(only.exc, ast.Call) else only.exc
        return 0.0 if _last_name(raised) == "NotImplementedError" else 1.0
    if isinstance(only, ast.Return):
        value = only.value
        if value is None or (isinstance(value, ast.Constant) and value.value in (None, ...)):
            return 0.0
        return 0.5 if _is_constant(value) else 1.0
    return 1.0


def _is_filler(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant | ast.Name)
    return isinstance(node, ast.Pass | ast.Global | ast.Nonlocal) or (
        isinstance(node, ast.AnnAssign) and node.value is None
    )


def _is_constant(value: ast.expr) -> bool:
    if isinstance(value, ast.UnaryOp):
        value = value.operand
    if isinstance(value, ast.List | ast.Tuple | ast.Set):
        return not value.elts
    if isinstance(value, ast.Dict):
        return not value.keys
    return isinstance(value, ast.Constant) or (isinstance(value, ast.Name) and value.id == "NotImplemented")


def _class_substance(node: ast.ClassDef) -> float:
    """Return the substance of a class without methods: fields make it real; an exception needs none."""
    if any(isinstance(item, ast.AnnAssign) or not _is_filler(item) for item in node.body):
        return 1.0
    bases = (_last_name(base) for base in node.bases)
    return 1.0 if any(base.endswith(("Error", "Exception", "Warning")) for base in bases) else 0.0


def _rest(body: Sequence[ast.stmt]) -> float:
    """Return the substance of code without functions and classes; 0.5 for imports alone."""
    others = [node for node in body if not isinstance(node, ast.Import | ast.ImportFrom)]
    return max(_substance(others), 0.5 if len(others) < len(body) else 0.0)


def _docstring(body: Sequence[ast.stmt]) -> str | None:
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return first.value.value
    return None


def _doc_words(node: AnyFunction | ast.ClassDef | ast.Module) -> int:
    return count_words(_docstring(node.body) or "")


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    return body if _docstring(body) is None else body[1:]


def _last_name(node: ast.expr) -> str:
    """Return the last part of a dotted name, without call and subscript around it."""
    while isinstance(node, ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
