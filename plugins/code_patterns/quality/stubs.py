"""Recognise stubs by the text of their only statement, in any language but Python."""

import re

MAX_STATEMENT = 300
"""Longest statement that may be a stub, in characters."""

_UNFINISHED = r"(?:not[\s_-]?(?:yet[\s_-]?)?(?:been[\s_-]?)?implement|unimplement|\btodo\b|unsupportedoperation)"
_FAILS = re.compile(rf"(?:throw|raise|panic|fail|die|abort|fatal|error)\b[\s\S]*?{_UNFINISHED}", re.IGNORECASE)
_SAYS_SO = re.compile(
    rf"(?:echo|print|puts|console|system\.out|log|fmt)[^\"'`]*[\"'`][^\"'`]*{_UNFINISHED}", re.IGNORECASE
)
_NOTHING = re.compile(
    r"(?:pass|\.\.\.|:|;|(?:todo|unimplemented)!\s*[(\[{][\s\S]*|"
    r"(?:return\b)?\s*\(?\s*(?:null|nil|None|undefined|void 0|nullptr|NULL|\(\))?\s*\)?)\s*;?"
)
_CONSTANT = re.compile(
    r"""(?:return\b)?\s*\(?\s*(?:[-+]?[\d.]\w*|true|false|True|False|"[^"]*"|'[^']*'|`[^`]*`|\[\s*\]|\{\s*\})\s*\)?\s*;?"""
)


def statement_substance(text: str) -> float:
    """Return the substance of a body's only statement.

    :return: 0 for a stub, 0.5 for a constant, 1 for real code
    """
    text = text.strip()
    if len(text) > MAX_STATEMENT:
        return 1.0
    if _NOTHING.fullmatch(text) or _FAILS.match(text) or _SAYS_SO.match(text):
        return 0.0
    return 0.5 if _CONSTANT.fullmatch(text) else 1.0
