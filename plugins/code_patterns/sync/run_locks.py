"""The locks by which runs keep each other out. The triggerer imports this too, so it needs little."""

from code_patterns.servers.locks import Lock


def collection_lock(collection: str, *, shared: bool = False) -> Lock:
    """The lock of a collection.

    :param collection: its real name in Qdrant
    :param shared: share it with other runs that do so too
    """
    return Lock("code_patterns sync", collection, holder="sync run", subject=f"'{collection}'", shared=shared)


def stream_lock(collection: str) -> Lock:
    """The lock that a stream holds as long as it is up. It keeps out the streams of all targets with this name.

    :param collection: the collection, as users write it
    """
    return Lock("code_patterns stream", collection, holder="stream", subject=f"the stream of '{collection}'")


def stream_sign(collection: str, target: str | None) -> Lock:
    """The lock that a stream holds beside its :func:`stream_lock`. It keeps nobody out, and shows whose stream is up.

    :param collection: the collection, as users write it
    :param target: the target's name; ``None`` for the target without one
    """
    # A target's name has no blanks, so the key says which part is which.
    key = f"{target or ''} {collection}"
    return Lock("code_patterns stream of target", key, holder="stream", subject=f"the stream of '{collection}'")
