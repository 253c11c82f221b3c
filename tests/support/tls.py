"""HTTPS on the loopback interface, with a certificate that nobody trusts yet."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.certificates import make_certificates
from tests.support.faulty_embeddings import EmbeddingServer, QuietServer, handler


@contextmanager
def serving_tls(server: EmbeddingServer, folder: Path) -> Iterator[str]:
    """Serve an embedding server over HTTPS as well, on a port of its own; gives the URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(make_certificates(folder).self_signed)
    httpd = QuietServer(("127.0.0.1", 0), handler(server))
    httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{httpd.server_address[1]}"
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()
