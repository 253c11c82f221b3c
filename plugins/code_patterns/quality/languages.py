"""The language that a pattern is written in."""

from pathlib import PurePosixPath

_NAMES = {
    "python": "python py python3 py3 cpython",
    "javascript": "javascript js jsx node nodejs ecmascript mjs cjs",
    "typescript": "typescript ts",
    "tsx": "tsx typescriptreact",
    "go": "go golang",
    "java": "java",
    "rust": "rust rs",
    "c": "c",
    "cpp": "cpp c++ cxx cc",
    "csharp": "csharp c# cs c_sharp",
    "ruby": "ruby rb",
    "bash": "bash sh shell zsh ksh shellscript",
}
_EXTENSIONS = {
    "python": "py pyi pyw",
    "javascript": "js jsx mjs cjs",
    "typescript": "ts mts cts",
    "tsx": "tsx",
    "go": "go",
    "java": "java",
    "rust": "rs",
    "c": "c",
    "cpp": "cpp cc cxx hpp hh hxx h",
    "csharp": "cs",
    "ruby": "rb",
    "bash": "sh bash zsh",
}
_BY_NAME = {alias: language for language, aliases in _NAMES.items() for alias in aliases.split()}
_BY_EXTENSION = {ending: language for language, endings in _EXTENSIONS.items() for ending in endings.split()}
_SAYS_NOTHING = {"", "unknown", "text", "plaintext", "none", "null", "n/a", "code"}


def language_of(declared: str | None, file_path: str | None) -> str | None:
    """Name the language of a pattern.

    :param declared: the pattern's language in any usual spelling
    :param file_path: its file; the ending decides if no language is declared
    :return: the canonical name; for a language not known here, the declared name; ``None`` if there is neither
    """
    name = (declared or "").strip().lower()[:50]
    if name in _BY_NAME:
        language = _BY_NAME[name]
    elif name not in _SAYS_NOTHING:
        return name
    else:
        language = None
    if file_path and language in (None, "typescript"):
        ending = PurePosixPath(file_path[-255:].replace("\\", "/").replace("\x00", "")).suffix.lower().lstrip(".")
        by_ending = _BY_EXTENSION.get(ending)
        language = by_ending if language is None or by_ending == "tsx" else language
    return language
