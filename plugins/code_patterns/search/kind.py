"""What a search text is: an identifier, code, or a question."""

import re
from enum import Enum

CODE_SHARE = 0.08
"""Code has at least this share of the characters below; questions have hardly any."""
MANY_LINES_SHARE = 0.02
"""The same for a text of several lines that are not indented."""

_OF_CODE = re.compile(r"[(){}\[\]=;<>&|+\\$@]")
_INDENTED = re.compile(r"\n(?: {2,}|\t)\s*\S")
_NAME = re.compile(r"[\w$]+(?:(?:\.|::|->|/|-|#)[\w$]+)*(?:\(\))?")
_COMPOUND = re.compile(r"[a-z0-9][A-Z]|[A-Za-z0-9]_[A-Za-z0-9]|[._:>/#$]|\(\)|^_|[A-Za-z]{2}[0-9]")
# "where is parse_url defined", "definition of parse_url", "find parse_url"
_ABOUT_A_NAME = re.compile(
    r"(?i:where(?:'s| is| are)?|what is|find|show|open|definition of|usages? of|uses of|calls? (?:of|to)|who calls)"
    r"(?: the)?(?: function| method| class)? (?P<name>\S+?)(?i: (?:defined|declared|implemented|used|called))?\??"
)


class Kind(Enum):
    """What a search text is."""

    IDENTIFIER = "identifier"
    CODE = "code"
    QUESTION = "question"


def kind_of(text: str) -> Kind:
    """Tell an identifier, code and a question apart; a single plain word counts as a question.

    A question about one identifier, such as "where is parse_url defined", counts as the identifier.
    """
    text = text.strip()
    if _is_identifier(text):
        return Kind.IDENTIFIER
    if (about := _ABOUT_A_NAME.fullmatch(text)) and _is_identifier(about["name"]):
        return Kind.IDENTIFIER
    if _INDENTED.search(text):
        return Kind.CODE
    # People write "open()" in sentences too.
    share = len(_OF_CODE.findall(text.replace("()", ""))) / max(1, len(text) - text.count(" "))
    return Kind.CODE if share >= (MANY_LINES_SHARE if "\n" in text else CODE_SHARE) else Kind.QUESTION


def _is_identifier(text: str) -> bool:
    return bool(_NAME.fullmatch(text)) and bool(_COMPOUND.search(text))
