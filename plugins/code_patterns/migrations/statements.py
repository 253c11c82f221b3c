"""Where the statements of an SQL text begin."""

import re

_NOT_CODE = re.compile(
    r"""
      --[^\n]*                            # comment to the end of the line
    | /\*.*?\*/                           # comment
    | \b[eE]'(?:[^'\\]|\\.|'')*'          # string with backslashes
    | '(?:[^']|'')*'                      # string
    | "(?:[^"]|"")*"                      # quoted name
    | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$     # dollar-quoted body
    """,
    re.DOTALL | re.VERBOSE,
)


def first_words(sql: str) -> list[str]:
    """Return the first word of every statement, in upper case; bodies of functions are not looked into."""
    code = _NOT_CODE.sub(" '' ", sql)
    return [words[0].upper() for statement in code.split(";") if (words := statement.replace("''", " ").split())]
