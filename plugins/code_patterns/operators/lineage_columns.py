"""Which columns of ``pattern_lineage_nodes`` become which payload keys, for OpenLineage."""

from collections.abc import Mapping
from dataclasses import dataclass

_CODE = ("pattern_data",)
_TEXT = ("pattern_name", "file_path", "language", *_CODE)
_WORDS = ("pattern_name", "file_path", "metadata", *_CODE)
_DESCRIBED = (
    *("pattern_id", "pattern_name", "pattern_type", "pattern_version"),
    *("file_path", "language", "metadata", "created_at"),
)


@dataclass(frozen=True)
class Origin:
    """What a payload key is made of.

    :param columns: the columns
    :param how: what is done with them; empty where a value is copied
    """

    columns: tuple[str, ...]
    how: str = ""

    @property
    def subtype(self) -> str:
        """OpenLineage's name for it."""
        return "TRANSFORMATION" if self.how else "IDENTITY"


COLUMNS: Mapping[str, Origin] = {
    "id": Origin(("id",)),
    "vector": Origin(_TEXT, "the model's vector of the text"),
    "words": Origin(_WORDS, "weights of the words of name, path, description and code"),
    "text": Origin(_TEXT, "file, language and path, then the code"),
    "code": Origin(_CODE, "its key 'code'"),
    **{key: Origin((key,)) for key in _DESCRIBED if key not in ("file_path", "language")},
    "file_path": Origin(("file_path", *_CODE), "the column, else the key 'file_path' of pattern_data"),
    "language": Origin(("language", *_CODE), "the column, else the key 'language' of pattern_data"),
    "embedding_hash": Origin(_TEXT, "hash of model and text"),
    "content_hash": Origin((*_DESCRIBED, *_CODE), "hash of the described keys"),
    "words_hash": Origin(_WORDS, "hash of the texts that the words are made of"),
    "truncated": Origin(_TEXT, "whether the text is too long for the model"),
}
"""Origins by payload key; besides those, of the point's ``id``, its dense vector, and its ``words``. The rest of the
payload, ``sync_timestamp``, comes from no column."""

FILTER = "pattern_type"
"""The column that decides whether a row becomes a point at all."""
