"""Certificates for HTTP clients."""

import ssl

import httpx


def tls_context(url: str) -> ssl.SSLContext:
    """Return the machine's certificates for an HTTPS server, and none for plain HTTP.

    Loading them takes as long as comparing several hundred patterns, which a run with nothing to do would notice.
    """
    if url.lower().startswith("http:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.create_ssl_context()
