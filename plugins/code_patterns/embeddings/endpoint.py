"""The URL of requests, from the server's address as a person typed it."""

import httpx


def endpoint(base_url: str, *, root: str, tail: str) -> httpx.URL:
    """Return the URL to post to; path and query are used as typed.

    :param base_url: the connection's address
    :param root: path of the endpoint if the address has none, such as ``/v1/embeddings``
    :param tail: added to a typed path unless the path ends in it, such as ``/embeddings``
    """
    url = httpx.URL(base_url)
    # httpx decodes `path`; only the raw form keeps an escaped slash.
    typed = url.raw_path.partition(b"?")[0].decode("ascii").rstrip("/")
    path = root if not typed else typed if typed.endswith(tail) else typed + tail
    query = f"?{url.query.decode('ascii')}" if url.query else ""
    return url.copy_with(raw_path=f"{path}{query}".encode("ascii"))
