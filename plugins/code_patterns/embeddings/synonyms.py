"""Words of programs that people use for one another.

Who asks how to delete a folder may mean a function that removes a directory. A question gets the other words of a group
too, with little weight: a synonym must not beat the word that was written. Patterns are left alone, so that a change
here writes no point again.
"""

SYNONYM_WEIGHT = 0.1
"""Weight of a synonym in a question, where a word of the question has 1."""

_GROUPS = """
    get fetch retrieve read obtain load receive, remove delete drop erase unlink discard clear purge, check verify
    validate test ensure assert confirm, create make build construct new generate produce, convert transform
    translate cast turn, find search lookup locate, write save store dump put persist, enumerate list, start begin
    run launch execute spawn, stop end terminate kill close shutdown abort, send post submit emit publish transmit,
    join concatenate merge combine, split separate divide tokenize, parse read decode, format render print show
    display, update change modify replace alter edit, copy clone duplicate, move rename, compare equal match differ,
    sort order rank arrange, count number length size amount, wait sleep delay pause, error exception failure fault,
    folder directory, text string, append add insert push, compute calculate evaluate, log record trace, call
    invoke, connect open, reverse invert, shorten truncate cut trim strip, escape quote, repeat retry, random
    shuffle, handle process, collect gather, filter select pick, group cluster, ignore skip, limit bound cap,
    largest maximum biggest, smallest minimum least, array list sequence, map dictionary, unique distinct duplicate,
    previous last, first begin, empty blank, hash digest checksum, allow permit, guess detect infer, encode
    serialize dump, decode deserialize load, compress zip pack, expand extract unpack, watch monitor observe, cache
    memoize, schedule queue
"""
GROUPS: tuple[tuple[str, ...], ...] = tuple(tuple(group.split()) for group in _GROUPS.split(","))
"""Groups of synonyms; a word may be in several."""
