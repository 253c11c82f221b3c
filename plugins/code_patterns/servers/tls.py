"""Certificates for HTTP clients."""

import os
import ssl

import httpx

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError


def tls_context(url: str, *, conn_id: str = "", ca_file: str = "", verify: bool = True) -> ssl.SSLContext:
    """Return what an HTTPS server's certificate is checked with; for plain HTTP nothing is loaded.

    Loading the machine's authorities takes as long as comparing several hundred patterns.

    :param url: the server's address
    :param conn_id: name of the Airflow connection, used in messages
    :param ca_file: PEM file of the authorities to trust; empty for the machine's own
    :param verify: whether to check the certificate at all
    :raises ConfigurationError: the file cannot be read, or holds no certificate
    """
    if url.lower().startswith("http:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not verify:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
    # Without a file, httpx loads its own list or what these variables name.
    file = ca_file or os.environ.get("SSL_CERT_FILE", "")
    try:
        return ssl.create_default_context(cafile=ca_file) if ca_file else httpx.create_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        reason = "it holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
        origin = "extra 'ca_file'" if ca_file else "environment variable SSL_CERT_FILE"
        message = (
            f"Connection '{conn_id}' cannot use the file of its {origin}, '{file}': {reason}. Name a PEM file there."
        )
    raise ConfigurationError(Code.CERTIFICATE_REFUSED, message)


def tls_failure(error: BaseException, plain_http: str) -> tuple[str, str] | None:
    """Say why no TLS connection could be made, and what to do.

    :param error: an error of an HTTP client
    :param plain_http: how to set the connection to plain HTTP, such as "set its schema to 'http'"
    :return: the end of a sentence, and a sentence; ``None`` if TLS is not the reason, or if the server may just be
        starting or stopping
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
