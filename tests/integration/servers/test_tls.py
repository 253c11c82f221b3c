"""Certificates: trusted by the extra ``ca_file``, or refused in one sentence that names it."""

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from code_patterns.codes import Code
from code_patterns.embeddings import open_embedder
from code_patterns.embeddings.connection import embedding_config
from code_patterns.errors import ConfigurationError, PatternsError
from code_patterns.servers.connection_models import ConnectionFields
from code_patterns.servers.postgres_connection import postgres_config
from code_patterns.servers.postgres_psycopg import connect_blocking
from code_patterns.servers.qdrant import Qdrant
from code_patterns.servers.qdrant_connection import qdrant_config
from code_patterns.servers.retry import RetryPolicy
from tests.support.certificates import Certificates, make_certificates
from tests.support.http_recorder import Recorder, recording

VECTOR = {"embeddings": [[0.5, 0.5, 0.5]], "result": {"collections": []}, "status": "ok", "time": 0.0}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server(certificates: Certificates) -> Iterator[Recorder]:
    """A server that answers both an embedding request and a list of collections, over HTTPS."""
    with recording(certificates.server) as recorder:
        recorder.answer = VECTOR
        yield recorder


def ask_qdrant(port: int, schema: str = "https", **extra: Any) -> None:
    async def ask() -> None:
        fields = ConnectionFields("c", "127.0.0.1", port, schema, extra=json.dumps(extra))
        async with Qdrant.open(qdrant_config(fields)) as qdrant:
            await qdrant.call("listing the collections", qdrant.client.get_collections, attempts=1)

    asyncio.run(ask())


def ask_embeddings(port: int, schema: str = "https", **extra: Any) -> None:
    async def ask() -> None:
        given = {"api": "ollama", "model": "m", "dimension": 3, **extra}
        fields = ConnectionFields("c", "127.0.0.1", port, schema, extra=json.dumps(given))
        embedder = open_embedder(embedding_config(fields), retry=RetryPolicy(attempts=1))
        try:
            await embedder.check()
        finally:
            await embedder.aclose()

    asyncio.run(ask())


BOTH = pytest.mark.parametrize("ask", [ask_qdrant, ask_embeddings], ids=["qdrant", "embeddings"])


def refusal(ask: Any, *args: Any, **extra: Any) -> str:
    with pytest.raises(PatternsError, match=r"[Cc]onnection 'c'") as caught:
        ask(*args, **extra)
    assert isinstance(caught.value, ConfigurationError)
    assert "\n" not in str(caught.value)
    assert "Start it" not in str(caught.value)
    return str(caught.value)


@BOTH
def test_an_authority_is_trusted_by_its_file(ask: Any, server: Recorder, certificates: Certificates) -> None:
    ask(server.port, ca_file=str(certificates.authority))
    assert len(server.requests) == 1


@BOTH
def test_a_certificate_need_not_be_checked(ask: Any, server: Recorder) -> None:
    ask(server.port, verify=False)
    assert len(server.requests) == 1


@BOTH
@pytest.mark.remedy(Code.CERTIFICATE_REFUSED)
def test_an_unknown_authority_is_refused(ask: Any, server: Recorder, certificates: Certificates) -> None:
    said = refusal(ask, server.port)
    assert "certificate is not trusted" in said
    assert "'ca_file'" in said
    assert not server.requests
    shown = ssl.get_server_certificate(("127.0.0.1", server.port))
    assert shown in certificates.server.read_text()
    ask(server.port, ca_file=str(certificates.authority))
    assert len(server.requests) == 1


@BOTH
@pytest.mark.parametrize("name", ["nowhere.pem", "."])
def test_a_ca_file_that_is_not_there(ask: Any, name: str, tmp_path: Path) -> None:
    said = refusal(ask, 1, ca_file=str(tmp_path / name))
    assert "extra 'ca_file' = " in said
    assert "must be a file that this machine can read (" in said


@BOTH
def test_a_ca_file_without_a_certificate(ask: Any, tmp_path: Path) -> None:
    file = tmp_path / "empty.pem"
    file.write_text("nothing\n")
    said = refusal(ask, 1, ca_file=str(file))
    assert "extra 'ca_file'" in said
    assert "holds no certificate in PEM form" in said


@BOTH
def test_the_machine_names_a_file_that_is_not_there(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    assert "environment variable SSL_CERT_FILE, '/nowhere.pem': No such file" in refusal(ask, 1)


@BOTH
@pytest.mark.remedy(Code.CERTIFICATE_REFUSED)
def test_https_to_a_server_without(ask: Any) -> None:
    with recording() as plain:
        plain.answer = VECTOR
        said = refusal(ask, plain.port)
        assert "TLS" in said
        assert not plain.requests
        ask(plain.port, schema="http")
        assert len(plain.requests) == 1


# Client certificates


@pytest.fixture
def strict(certificates: Certificates) -> Iterator[Recorder]:
    """A server that demands a client certificate of the authority."""
    with recording(certificates.server, certificates.authority) as recorder:
        recorder.answer = VECTOR
        yield recorder


@BOTH
def test_a_client_certificate_is_shown(ask: Any, strict: Recorder, certificates: Certificates, tmp_path: Path) -> None:
    files = {"cert_file": str(certificates.client), "key_file": str(certificates.client_key)}
    ask(strict.port, ca_file=str(certificates.authority), **files)
    both = tmp_path / "both.pem"
    both.write_bytes(certificates.client.read_bytes() + certificates.client_key.read_bytes())
    ask(strict.port, ca_file=str(certificates.authority), cert_file=str(both))
    assert len(strict.requests) == 2


@BOTH
def test_without_a_client_certificate(ask: Any, strict: Recorder, certificates: Certificates, tmp_path: Path) -> None:
    other = make_certificates(tmp_path)
    for files in ({}, {"cert_file": str(other.client), "key_file": str(other.client_key)}):
        said = refusal(ask, strict.port, ca_file=str(certificates.authority), **files)
        assert "asks for a client certificate that it trusts" in said
        assert "'cert_file'" in said
    assert not strict.requests


@BOTH
def test_client_files_that_do_not_belong_together(ask: Any, certificates: Certificates, tmp_path: Path) -> None:
    assert "no extra 'cert_file'" in refusal(ask, 1, key_file=str(certificates.client_key))
    other = make_certificates(tmp_path)
    said = refusal(ask, 1, cert_file=str(certificates.client), key_file=str(other.client_key))
    assert "'key_file'" in said
    assert "the private key that belongs to it" in said


@BOTH
def test_an_encrypted_client_key_does_not_ask_at_a_terminal(
    ask: Any, certificates: Certificates, tmp_path: Path
) -> None:
    key = serialization.load_pem_private_key(certificates.client_key.read_bytes(), None)
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    said = refusal(ask, 1, cert_file=str(certificates.client), key_file=str(encrypted))
    assert "the private key is encrypted" in said


def test_grpc_shows_the_client_certificate(certificates: Certificates) -> None:
    handshakes: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server)
    context.load_verify_locations(certificates.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    files = {"cert_file": str(certificates.client), "key_file": str(certificates.client_key)}
    with handshaking(context, handshakes) as port, suppress(PatternsError):
        ask_qdrant(1, prefer_grpc=True, grpc_port=port, timeout=2, ca_file=str(certificates.authority), **files)
    assert "TLSv1.3" in handshakes


def test_grpc_trusts_the_file_too(certificates: Certificates) -> None:
    handshakes: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server)
    context.set_alpn_protocols(["h2"])
    with handshaking(context, handshakes) as port, suppress(PatternsError):
        ask_qdrant(1, prefer_grpc=True, grpc_port=port, timeout=2, ca_file=str(certificates.authority))
    assert "TLSv1.3" in handshakes


# PostgreSQL


@contextmanager
def handshaking(context: ssl.SSLContext, done: list[str | None], greeting: bool = False) -> Iterator[int]:
    """A server that does the TLS handshake and hangs up.

    :param done: takes the protocol of every handshake that came about
    :param greeting: agree to TLS first, as PostgreSQL does
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with suppress(OSError):
                        if greeting:
                            connection.recv(8)
                            connection.sendall(b"S")
                        with context.wrap_socket(connection, server_side=True) as secure:
                            done.append(secure.version())

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def postgres(**extra: Any) -> Any:
    return postgres_config(ConnectionFields("c", "db", 5432, "patterns", "me", extra=json.dumps(extra)))


@pytest.mark.parametrize("name", ["sslrootcert", "sslcert", "sslkey", "sslcrl"])
def test_postgres_names_a_file_that_is_not_there(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"'c' has extra '{name}'.*\. It must be a file that this machine"):
        postgres(**{"sslmode": "require", name: "/no.pem"})


def test_postgres_needs_to_know_whom_it_trusts(certificates: Certificates) -> None:
    with pytest.raises(ConfigurationError, match=r"'c' has extra 'sslmode' = 'verify-full' and no extra 'sslrootcert'"):
        postgres(sslmode="verify-full")
    assert postgres(sslmode="verify-full", sslrootcert="system").options["sslrootcert"] == "system"
    file = str(certificates.authority)
    assert postgres(sslmode="verify-ca", sslrootcert=file).options == {"sslmode": "verify-ca", "sslrootcert": file}


def test_postgres_with_an_unknown_authority(certificates: Certificates, tmp_path: Path) -> None:
    other = make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server)
    extra = json.dumps({"sslmode": "verify-full", "sslrootcert": str(other.authority)})
    with handshaking(context, [], greeting=True) as port:
        config = postgres_config(ConnectionFields("c", "127.0.0.1", port, "patterns", "me", "geheim", extra))
        with pytest.raises(PatternsError, match="'c'") as caught:
            connect_blocking(config)
    assert "extras 'sslmode' and 'sslrootcert'" in str(caught.value)
    assert "geheim" not in str(caught.value)
