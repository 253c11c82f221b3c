"""The words of a pattern as a sparse vector: BM25 over identifiers.

A search by words finds what a model does not know: names of a company's own, error codes, abbreviations. What counts
is how identifiers are cut. ``parseHttpUrl`` gives ``parsehttpurl``, ``pars``, ``http`` and ``address``: the whole, and
the stems of its parts. Common abbreviations become the word that they stand for, in code and in questions alike.

The document side holds the saturated counts of BM25, the query side ones. Qdrant multiplies by the inverse document
frequency, which it knows for the whole collection (modifier IDF). So a new pattern changes no other point.
"""

import hashlib
import itertools
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import Stemmer
from numpy.typing import NDArray

from code_patterns.embeddings.identifiers import Memo, identifiers, parts_of
from code_patterns.embeddings.synonyms import GROUPS, SYNONYM_WEIGHT

WORDS_RECIPE = "identifiers-stems-abbreviations/2"
"""Name of everything here that decides a vector; a new name makes the next full sync write all words again."""

WORDS = "words"
"""Name of the sparse vector in Qdrant. It stands beside the unnamed dense one."""

NAME_WEIGHT = 4
"""The pattern's name counts so often."""
SATURATION = 2.0
"""``k1`` of BM25: how much the tenth occurrence of a term still adds."""
LENGTH_SHARE = 0.75
"""``b`` of BM25: how much a long text counts against its terms."""
PATH_WEIGHT = 2
"""The pattern's path counts so often: folders and modules say what their code is about."""
AVERAGE_TERMS = 80.0
"""The length that counts as usual. It is fixed: the true average changes with every pattern; so would all vectors."""

LONGEST_TEXT = 200_000
"""Characters of a text that count; what comes later is generated code or data, and would make the vector huge."""

_IGNORED = frozenset(
    b"a an the of to in for on and or is are be by with from this that it its as at if into not when which".split()
)
_STEMMER = Stemmer.Stemmer("english")
_STEMMER_TURN = threading.Lock()
_LONGEST_STEMMED = 64

_ABBREVIATIONS = """
    abs=absolute addr=address arg=argument args=argument async=asynchronous attr=attribute attrs=attribute
    auth=authentication buf=buffer calc=calculate cert=certificate cfg=configuration char=character chk=check
    cls=class cmd=command cmp=compare cnt=count col=column coll=collection comp=compare concat=concatenate
    conf=configuration config=configuration conn=connection cp=copy ctx=context cur=current curr=current
    cwd=directory db=database dec=decode decl=declaration def=define del=delete dep=dependency desc=description
    deser=deserialize dest=destination dev=device dict=dictionary diff=difference dir=directory doc=document
    dom=document dst=destination el=element elem=element enc=encode env=environment err=error eval=evaluate
    exc=exception exec=execute expr=expression ext=extension feat=feature fmt=format fn=function freq=frequency
    func=function gen=generate grp=group hdr=header hist=history id=identifier idx=index img=image
    impl=implementation inc=increment info=information init=initialize int=integer iter=iterate kw=keyword
    kwargs=keyword lang=language len=length lib=library loc=location max=maximum mgr=manager min=minimum mod=module
    msg=message mul=multiply mv=move nb=number neg=negative net=network norm=normalize nr=number ns=namespace
    num=number obj=object op=operation ops=operation opt=option org=organization orig=original param=parameter
    params=parameter perf=performance perm=permission pkg=package pos=position pred=predicate pref=prefix
    prev=previous proc=process prop=property props=property ptr=pointer pwd=password qty=quantity qual=qualified
    rand=random rec=record recv=receive ref=reference regex=expression rel=relative repo=repository req=request
    res=result resp=response ret=return rm=remove sec=second sep=separator seq=sequence ser=serialize sess=session
    sig=signature spec=specification src=source stat=status std=standard stmt=statement str=string sub=subtract
    suf=suffix sync=synchronize sys=system tbl=table temp=temporary tmp=temporary tok=token trans=transaction
    ts=timestamp txt=text tz=timezone uniq=unique url=address usr=user util=utility val=value var=variable
    vec=vector ver=version vol=volume wd=directory win=window
"""
ABBREVIATIONS: Mapping[str, str] = dict(re.findall(r"(\w+)=(\w+)", _ABBREVIATIONS))
"""Abbreviations in code, and the words that people ask with."""


@dataclass(frozen=True, slots=True)
class Words:
    """A sparse vector.

    :param indices: ids of the terms, each once, in order; unsigned, 32 bits
    :param values: their weights, of the same length
    """

    indices: NDArray[np.uint32]
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PatternTexts:
    """What the words of a pattern are made of.

    :param texts: description and code; of each, the first :data:`LONGEST_TEXT` characters count
    :param name: the pattern's name, which counts more
    :param path: the file that it comes from, which counts more too
    """

    texts: Sequence[str]
    name: str | None = None
    path: str = ""

    @property
    def terms(self) -> bytes:
        """The ids of its terms, four bytes each, as often as they count."""
        cut = [text[:LONGEST_TEXT] for text in self.texts]
        raw = "\n".join((*[self.name or ""] * NAME_WEIGHT, *[self.path] * PATH_WEIGHT, *cut)).encode("utf-8", "replace")
        return b"".join(map(_TERMS.__getitem__, identifiers(raw))) or _NO_WORD


def words_of(patterns: Sequence[PatternTexts]) -> list[Words]:
    """Make the words of some patterns, of each for itself; together they take a third of the time.

    A pattern without any word gets one term that no question has: Qdrant takes no empty vector.

    :param patterns: at least one
    """
    terms = [pattern.terms for pattern in patterns]
    lengths = np.fromiter(map(len, terms), np.int64) // _ID.itemsize
    # A term's pattern stands before its id, so that one sort is enough for all.
    keys = np.frombuffer(b"".join(terms), _ID).astype(np.uint64)
    keys |= np.repeat(np.arange(len(patterns), dtype=np.uint64) << np.uint64(32), lengths)
    keys.sort()
    differs = np.ones(len(keys) + 1, np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=differs[1:-1])
    bounds = np.flatnonzero(differs)
    counts = np.diff(bounds)
    distinct = keys[bounds[:-1]]
    owners = (distinct >> np.uint64(32)).astype(np.int64)
    rarity = SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * lengths / AVERAGE_TERMS)
    values = (counts * (SATURATION + 1) / (counts + rarity[owners])).astype(np.float32)
    indices = distinct.astype(np.uint32)
    ends = np.cumsum(np.bincount(owners, minlength=len(patterns))).tolist()
    return [Words(indices[start:end], values[start:end]) for start, end in itertools.pairwise((0, *ends))]


def words_of_question(text: str) -> Words:
    """Make the words of a question or an identifier; each counts once, and its synonyms a little."""
    words = _once(_TERMS, text)
    asked = set(words.indices.tolist())
    synonyms = sorted({synonym for term in asked for synonym in _synonyms().get(term, ())} - asked)
    if not synonyms:
        return words
    indices = np.concatenate((words.indices, np.array(synonyms, np.uint32)))
    values = np.concatenate((words.values, np.full(len(synonyms), SYNONYM_WEIGHT, np.float32)))
    order = np.argsort(indices)
    return Words(indices[order], values[order])


def words_of_code(text: str) -> Words:
    """Make the words of code that is searched for.

    Only parts of identifiers count: whoever looks for a pattern by code may have other names in it.
    """
    return _once(_PARTS, text)


def matched(question: Words, text: str) -> list[str]:
    """The words of a text that a question has, as they are written there, each once."""
    wanted = {term.to_bytes(4, "little") for term in question.indices.tolist()}
    found: dict[bytes, str] = {}
    for word in dict.fromkeys(identifiers(text.encode("utf-8", "replace"))):
        terms = _TERMS[word]
        if any(terms[start : start + 4] in wanted for start in range(0, len(terms), 4)):
            found.setdefault(word.lower(), word.decode("utf-8", "replace"))
    return list(found.values())


def _once(cut: Mapping[bytes, bytes], text: str) -> Words:
    found = identifiers(text.encode("utf-8", "replace"))
    indices = np.unique(np.frombuffer(b"".join(map(cut.__getitem__, found)), _ID))
    return Words(indices.astype(np.uint32), np.ones(len(indices), np.float32))


def _terms(word: bytes) -> bytes:
    """The ids of a word and of its parts, four bytes each."""
    whole = _id(b"whole:" + word.lower()) if len(parts_of(word)) > 1 else b""
    return whole + _PARTS[word]


def _parts(word: bytes) -> bytes:
    """The ids of the parts of a word, four bytes each."""
    lowered = (part.lower() for part in parts_of(word))
    return b"".join(_id(_STEMS[part]) for part in lowered if part not in _IGNORED)


def _stem(part: bytes) -> bytes:
    if len(part) > _LONGEST_STEMMED:
        return part
    text = part.decode("utf-8", "replace")
    stem = _stemmed(text)
    meant = ABBREVIATIONS.get(text) or ABBREVIATIONS.get(stem)
    return (_stemmed(meant) if meant else stem).encode()


@cache
def _synonyms() -> Mapping[int, frozenset[int]]:
    """The ids of the synonyms of a term, by its id."""
    found: dict[int, frozenset[int]] = {}
    for group in GROUPS:
        terms = frozenset(int.from_bytes(_PARTS[word.encode()], "little") for word in group)
        for term in terms:
            found[term] = found.get(term, frozenset()) | terms - {term}
    return found


def _stemmed(text: str) -> str:
    with _STEMMER_TURN:
        return str(_STEMMER.stemWord(text))


def _id(term: bytes) -> bytes:
    return hashlib.blake2b(term, digest_size=4).digest()


_ID = np.dtype("<u4")
_NO_WORD = _id(b"")
_TERMS, _PARTS, _STEMS = Memo(_terms), Memo(_parts), Memo(_stem)
