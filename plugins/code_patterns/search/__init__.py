"""Find patterns by words or meaning, with their quality."""

from code_patterns.search.hit import Hit, SearchAnswer
from code_patterns.search.once import asearch, search
from code_patterns.search.query import SearchQuery, WrongQueryError
from code_patterns.search.searcher import Searcher, UnknownPatternError, open_searcher

__all__ = [
    "Hit",
    "SearchAnswer",
    "SearchQuery",
    "Searcher",
    "UnknownPatternError",
    "WrongQueryError",
    "asearch",
    "open_searcher",
    "search",
]
