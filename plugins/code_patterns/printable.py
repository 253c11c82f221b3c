"""Make text of others harmless where people read it: in logs, messages and terminals."""

import unicodedata

LONGEST = 8_000
"""Most characters of a message. Nobody reads more, and a log line or an XCom has to hold it."""

_KEPT = "\n\t"


def printable(text: str, longest: int | None = None) -> str:
    r"""Write what controls a terminal, hides text or turns its direction as its escape, such as ``\u001b``.

    Line breaks and tabs stay. The escapes are those of JSON, so the text of a JSON document stays one.

    :param text: any text
    :param longest: most characters to keep; the rest becomes ``…``; ``None`` keeps all
    """
    if longest is not None and len(text) > longest:
        text = f"{text[:longest]}…"
    if text.isprintable():
        return text
    return "".join(character if _is_harmless(character) else _escape(character) for character in text)


def _is_harmless(character: str) -> bool:
    # Blanks other than the usual one are not printable for Python.
    return character.isprintable() or character in _KEPT or unicodedata.category(character) == "Zs"


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
