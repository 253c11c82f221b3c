"""Choose the parser for a piece of code; use the language-neutral one if no other can read it."""

from code_patterns.quality import grammar_code, plain_text, python_code
from code_patterns.quality.code_analysis import CodeAnalysis, NotParsedError, Reading
from code_patterns.quality.languages import language_of

MAX_LANGUAGE_IN_REASON = 40


def read_code(code: str, declared: str | None, file_path: str | None) -> CodeAnalysis:
    """Analyse a piece of code.

    :param code: the code, possibly a fragment, cut off, or no code at all
    :param declared: the pattern's language
    :param file_path: the pattern's file
    """
    if not code.strip():
        return CodeAnalysis(Reading("none"))
    language = language_of(declared, file_path)
    try:
        if language == "python":
            return python_code.read(code)
        if language in grammar_code.GRAMMARS:
            return grammar_code.read(code, language)
        if language is None:
            return python_code.read(code, sniff=True)
        reason = f"no grammar for {language[:MAX_LANGUAGE_IN_REASON]}"
    except NotParsedError as error:
        reason = str(error) if language else "the language is not known"
    return plain_text.read(code, language, reason)
