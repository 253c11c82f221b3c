"""The locks by which runs keep each other out. The triggerer imports this too, so it needs little."""

from code_patterns.servers.locks import Lock


def collection_lock(collection: str, *, shared: bool = False) -> Lock:
    """The lock of a collection.

    :param collection: its real name in Qdrant
    :param shared: share it with other runs that do so too
    """
    return Lock("code_patterns sync", collection, holder="sync run", subject=f"'{collection}'", shared=shared)


def stream_lock(collection: str) -> Lock:
    """The lock that a stream holds as long as it is up.

    :param collection: the collection, as users write it
    """
    return Lock("code_patterns stream", collection, holder="stream", subject=f"the stream of '{collection}'")
