"""Certificates for HTTP clients: whom they trust, and who they are."""

import os
import ssl
from collections.abc import Iterator

import httpx

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError

_REFUSED_CLIENT = (
    *("TLSV13_ALERT_CERTIFICATE_REQUIRED", "TLSV1_ALERT_UNKNOWN_CA", "TLSV1_ALERT_ACCESS_DENIED"),
    "TLSV1_ALERT_DECRYPT_ERROR",
    *("SSLV3_ALERT_BAD_CERTIFICATE", "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "SSLV3_ALERT_CERTIFICATE_REVOKED"),
    *("SSLV3_ALERT_CERTIFICATE_EXPIRED", "SSLV3_ALERT_CERTIFICATE_UNKNOWN"),
)
"""OpenSSL's names of what a server says when it wants another client certificate, or one at all."""


def tls_context(
    url: str, *, conn_id: str = "", ca_file: str = "", verify: bool = True, cert_file: str = "", key_file: str = ""
) -> ssl.SSLContext:
    """Return what an HTTPS server's certificate is checked with, and what the client shows; plain HTTP loads nothing.

    Loading the machine's authorities takes as long as comparing several hundred patterns.

    :param url: the server's address
    :param conn_id: name of the Airflow connection, used in messages
    :param ca_file: PEM file of the authorities to trust; empty for the machine's own
    :param verify: whether to check the certificate at all
    :param cert_file: PEM file of the client's own certificate; empty for none
    :param key_file: PEM file of its private key; empty if ``cert_file`` holds it too
    :raises ConfigurationError: a file cannot be read, or does not hold what it should
    """
    if url.lower().startswith("http:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = _trusting(conn_id, ca_file, verify)
    if cert_file:
        _show(context, conn_id, cert_file, key_file)
    return context


def _trusting(conn_id: str, ca_file: str, verify: bool) -> ssl.SSLContext:
    """Make a context by whom it trusts."""
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


def _show(context: ssl.SSLContext, conn_id: str, cert_file: str, key_file: str) -> None:
    """Let the context show the client's own certificate."""

    def refuse_to_ask() -> str:
        # Without this OpenSSL asks for the password at a terminal, and a worker would wait for ever.
        raise _EncryptedKeyError

    try:
        context.load_cert_chain(cert_file, key_file or None, refuse_to_ask)
        return
    except _EncryptedKeyError:
        reason = "the private key is encrypted"
    except ssl.SSLError:
        reason = "they are no PEM file of a certificate and of the private key that belongs to it"
    except OSError as error:
        reason = error.strerror or type(error).__name__
    files = f"'{cert_file}'" + (f" and '{key_file}'" if key_file else "")
    raise ConfigurationError(
        Code.CERTIFICATE_REFUSED,
        f"Connection '{conn_id}' cannot use the files of its extras 'cert_file' and 'key_file', {files}: {reason}. "
        "Name PEM files there, the key without a password; 'key_file' may be left out if 'cert_file' holds the key "
        "too.",
    )


class _EncryptedKeyError(Exception):
    """The private key needs a password."""


def refuse_key_alone(conn_id: str, cert_file: str, key_file: str) -> None:
    """Refuse a private key without a certificate.

    :raises ConfigurationError: there is only a key
    """
    if key_file and not cert_file:
        raise ConfigurationError(
            Code.CERTIFICATE_REFUSED,
            f"Connection '{conn_id}' has extra 'key_file' and no extra 'cert_file'. Name the client's certificate "
            "there, or remove 'key_file'.",
        )


def tls_failure(error: BaseException, plain_http: str) -> tuple[str, str] | None:
    """Say why no TLS connection could be made, and what to do.

    :param error: an error of an HTTP client
    :param plain_http: how to set the connection to plain HTTP, such as "set its schema to 'http'"
    :return: the end of a sentence, and a sentence; ``None`` if TLS is not the reason, or if the server may just be
        starting or stopping
    """
    if refused := client_refused(error):
        return refused
    for cause in _causes(error):
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
    return None


def client_refused(error: BaseException) -> tuple[str, str] | None:
    """Say that a server did not take the client's certificate: since TLS 1.3 it does so after the connection was made.

    :param error: an error of an HTTP client
    :return: the end of a sentence, and a sentence; ``None`` if that is not the reason
    """
    said = next((cause.reason for cause in _causes(error) if isinstance(cause, ssl.SSLError)), None)
    if said not in _REFUSED_CLIENT:
        return None
    return (
        f"it asks for a client certificate that it trusts ({said.lower().replace('_', ' ')})",
        "Name one in the connection's extra 'cert_file' and its private key in 'key_file', signed by an authority that "
        "the server knows.",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
