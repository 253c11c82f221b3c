"""Whether PostgreSQL does not trust a client's certificate.

Since TLS 1.3 a server says so after the handshake, so drivers see a connection that ends. Its alert is read here.
"""

import socket
import ssl
import struct

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.tls import client_refused

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""Asks for TLS: https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-SSLREQUEST"""
_SECONDS = 2.0
"""How long to wait for an alert. A server that takes the certificate says nothing."""


def untrusted_certificate(config: PostgresConfig) -> ConfigurationError | None:
    """Shake hands once more, and read what the server says to the certificate.

    :return: the error, or ``None`` if no certificate is shown or the server takes it
    """
    certificate = config.options.get("sslcert")
    if not certificate or config.host.startswith("/"):
        return None
    context = ssl.create_default_context()
    # The driver has checked the server already.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        context.load_cert_chain(certificate, config.options.get("sslkey"), config.options.get("sslpassword"))
        with socket.create_connection((config.host, config.port), _SECONDS) as plain:
            plain.sendall(_SSL_REQUEST)
            if plain.recv(1) != b"S":
                return None
            with context.wrap_socket(plain) as encrypted:
                encrypted.recv(1)
    except OSError as error:  # ssl.SSLError is one
        refused = client_refused(error)
        if refused is None:
            return None
    else:
        return None
    return ConfigurationError(
        Code.CERTIFICATE_REFUSED,
        f"PostgreSQL at {config.address}: {refused[0]}. Name one in the connection's extra 'sslcert' and its private "
        "key in 'sslkey', signed by an authority that the server knows.",
    )
