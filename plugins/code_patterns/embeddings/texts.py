"""What happens to a text before any embedder sees it."""

from collections.abc import Sequence


def prepare(texts: Sequence[str], prefix: str, max_characters: int) -> list[str]:
    """Cut texts, put the prefix before them, and make them valid Unicode.

    :param texts: texts as they come from the database
    :param prefix: put before each, after the cut, so that it is never cut itself
    :param max_characters: 0 cuts nothing
    :return: as many texts; a lone surrogate, which no UTF-8 encoder accepts, has become ``?``
    """
    limit = max_characters or None
    return [(prefix + text[:limit]).encode("utf-8", "replace").decode("utf-8") for text in texts]
