"""Analyse what no parser can read: other languages, fragments, diffs, code that was cut."""

import re

from code_patterns.quality.code_analysis import ClassAnalysis, CodeAnalysis, FunctionAnalysis, Reading
from code_patterns.quality.comments import comment_words
from code_patterns.quality.stubs import statement_substance

MAX_CHARACTERS = 256 * 1024
"""Characters that are looked at; more change little."""
MOST = 0.8
"""Highest completeness without a parser: nothing shows that the code is whole."""
STUB_WEIGHT = 3
"""How many real statements one stub outweighs."""
MAX_HEAD = 2_000
"""Characters in which the parameters of a function must end."""

_DIFF = re.compile(r"^(?:diff --git |@@ -\d+|--- [^\n]*\n\+\+\+ )", re.MULTILINE)
_DIFF_NOISE = re.compile(r"^(?:diff --git |index |@@ |--- |\+\+\+ |-)[^\n]*\n?", re.MULTILINE)
_COMMENT_OR_QUOTE = re.compile(
    r'(?P<comment>"""[\s\S]*?(?:"""|\Z)|'
    r"'''[\s\S]*?(?:'''|\Z)|"
    r"/\*[\s\S]*?(?:\*/|\Z)|<!--[\s\S]*?(?:-->|\Z)|"
    r"(?<!:)//[^\n]*|(?:(?<=\s)|^)--\s[^\n]*|"
    r"(?:(?<=\s)|^)#(?!include\b|define\b|if|endif\b|else\b|pragma\b|undef\b)[^\n]*)|"
    r"(?P<quote>[\"'])",
    re.MULTILINE,
)
_STRING = {'"': re.compile(r'"(?:\\.|[^"\\\n])*"'), "'": re.compile(r"'(?:\\.|[^'\\\n])*'")}
_HEAD = re.compile(
    r"^[ \t]*(?:(?:export|default|public|private|protected|internal|static|async|pub|override|final|suspend|local|open|"
    r"abstract|virtual)\s+)*(?P<kind>def|function|fn|func|fun|sub|class|struct|interface|module)\b[ \t]*"
    r"(?P<name>[\w.$]*)[^\n({;:]*",
    re.MULTILINE,
)
_DOCUMENTING = ('"""', "'''", "/**", "///")
_TYPES = {"class", "struct", "interface", "module"}
_ASYNC = re.compile(r"\basync\b")
_DECORATOR = re.compile(r"^[ \t]*@[\w.]+", re.MULTILINE)
_CODE = re.compile(r"[=(\[{<>+*/%|&!-]|\breturn\b|\.\w")
_BRACKETS_ONLY = re.compile(r"[\s{}()\[\];,]*|(?:end|fi|done|esac|begin|else|try|do|then|return)\s*:?")
"""What says nothing alone; a bare ``return`` may leave a real function early."""
_DECISION = re.compile(r"\b(?:if|elif|elsif|unless|for|foreach|while|until|case|when|catch|except|rescue)\b|&&|\|\|")


def read(code: str, language: str | None, reason: str) -> CodeAnalysis:
    """Analyse code as text alone.

    :param code: any text
    :param language: its language, if known
    :param reason: why no parser could read it
    """
    text = code[:MAX_CHARACTERS]
    if _DIFF.search(text):
        text, reason = re.sub(r"^[+ ]", "", _DIFF_NOISE.sub("", text), flags=re.MULTILINE), f"a diff: {reason}"
    bare, comments = _without_comments_and_strings(text)
    body, heads = _without_heads(bare)
    judged = [_judge(statement) for line in body.splitlines() for statement in line.split(";")]
    real = sum(value for value in judged if value is not None)
    stubs = sum(value == 0 for value in judged)
    rest = MOST * real / (real + STUB_WEIGHT * stubs) if real else 0.0
    words = [comment_words(comment) for comment in comments]
    # It is not known which comment belongs to which function: the first docstring counts for all.
    documents = bool(comments) and (comments[0].startswith(_DOCUMENTING) or text.lstrip().startswith(comments[0]))
    doc_words = words[0] if documents and real else 0
    cyclomatic = 1 + len(_DECISION.findall(bare))
    is_type = [head["kind"] in _TYPES for head in heads]
    return CodeAnalysis(
        reading=Reading("text", language, reason[:200]),
        functions=tuple(
            FunctionAnalysis(head["name"], rest, doc_words, cyclomatic, _ASYNC.search(head[0]) is not None)
            for head, other in zip(heads, is_type, strict=True)
            if not other
        ),
        classes=tuple(
            ClassAnalysis(head["name"], rest, doc_words) for head, it_is in zip(heads, is_type, strict=True) if it_is
        ),
        rest=rest,
        doc_words=doc_words,
        hints=0.0,
        comment_words=sum(words[documents:]),
        statements=max(sum(value is not None for value in judged), 1),
        cyclomatic=cyclomatic,
    )


def _without_comments_and_strings(text: str) -> tuple[str, list[str]]:
    """Put a blank for each comment and an empty string for each string; return that, and the comments."""
    parts: list[str] = []
    comments: list[str] = []
    # If a quote has no end on its line, neither have those behind it. With escaped quotes alone, as in code that was
    # encoded twice, to look for each end would take minutes.
    endless = dict.fromkeys(_STRING, 0)
    copied = position = 0
    while found := _COMMENT_OR_QUOTE.search(text, position):
        position = found.end()
        if quote := found["quote"]:
            if found.start() < endless[quote]:
                continue
            string = _STRING[quote].match(text, found.start())
            if string is None:
                line_end = text.find("\n", position)
                endless[quote] = line_end if line_end >= 0 else len(text)
                continue
            position = string.end()
        else:
            comments.append(found["comment"])
        parts += (text[copied : found.start()], '""' if quote else " ")
        copied = position
    return "".join((*parts, text[copied:])), comments


def _without_heads(text: str) -> tuple[str, list[re.Match[str]]]:
    """Remove the heads of functions and classes, parameters included: they are not executed."""
    parts: list[str] = []
    heads: list[re.Match[str]] = []
    position = 0
    for match in _HEAD.finditer(text):
        if match.start() < position:
            continue
        heads.append(match)
        parts.append(text[position : match.start()])
        position = _end_of_head(text, match.end())
    parts.append(text[position:])
    return _DECORATOR.sub("", "".join(parts)), heads


def _end_of_head(text: str, start: int) -> int:
    """Find the end of a head: the colon, brace or line end after its parameters."""
    depth = 0
    for position in range(start, min(start + MAX_HEAD, len(text))):
        character = text[position]
        depth += (character in "([") - (character in ")]")
        if depth <= 0 and (character in ":{\n" or text.startswith("=>", position)):
            return position + 1
    return min(start + MAX_HEAD, len(text))


def _judge(statement: str) -> float | None:
    """Return the substance of one statement; ``None`` for blanks, lone brackets and keywords, prose."""
    if statement.rstrip().endswith(") {"):
        return None
    statement = statement.strip(" \t{}\r\f\v")
    if not statement or _BRACKETS_ONLY.fullmatch(statement):
        return None
    substance = statement_substance(statement)
    return substance if substance < 1 or _CODE.search(statement) else None
