"""Certificates for HTTP clients."""

import os
import ssl

import httpx

from code_patterns.errors import ConfigurationError


def tls_context(url: str, *, conn_id: str = "", ca_file: str = "", verify: bool = True) -> ssl.SSLContext:
    """Return what an HTTPS server's certificate is checked by, and nothing of use for plain HTTP.

    Loading the machine's authorities takes as long as comparing several hundred patterns, which a run with nothing to
    do would notice.

    :param url: the server's address
    :param conn_id: name of the Airflow connection, used in messages
    :param ca_file: PEM file of the authorities to trust instead of the machine's own; empty for those
    :param verify: whether to check the certificate at all
    :raises ConfigurationError: the file cannot be read, or holds no certificate
    """
    if url.lower().startswith("http:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not verify:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
    # What httpx would load without a file: its own list, or what these variables name.
    file = ca_file or os.environ.get("SSL_CERT_FILE", "")
    try:
        return ssl.create_default_context(cafile=ca_file) if ca_file else httpx.create_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        reason = "it holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
        origin = "extra 'ca_file'" if ca_file else "environment variable SSL_CERT_FILE"
        message = (
            f"Connection '{conn_id}' cannot use the file of its {origin}, '{file}': {reason}. Name a PEM file there."
        )
    raise ConfigurationError(message)


def tls_failure(error: BaseException, plain_http: str) -> tuple[str, str] | None:
    """Say why no TLS connection came about, and what to do about it.

    :param error: what an HTTP client raised
    :param plain_http: how the connection is made to use plain HTTP, as in "set its schema to 'http'"
    :return: the end of a sentence, and a sentence; ``None`` when TLS is not the reason, or when the server may just be
        starting or going
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"its certificate is not trusted ({cause.verify_message})",
                "Name the PEM file of the authority that signed it in the connection's extra 'ca_file', or correct the "
                "host.",
            )
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return (
                f"it speaks no TLS that this client understands ({cause.reason or 'handshake failed'})",
                f"Correct the connection's port; where the server speaks plain HTTP, {plain_http}.",
            )
        cause = cause.__cause__ or cause.__context__
    return None
