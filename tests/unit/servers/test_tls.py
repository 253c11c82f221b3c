"""Certificates for HTTP clients."""

import ssl

from code_patterns.servers.tls import tls_context


def test_https_trusts_the_machines_certificates() -> None:
    assert tls_context("https://qdrant.example.org:6333").cert_store_stats()["x509_ca"] > 0


def test_plain_http_trusts_nobody() -> None:
    context = tls_context("http://localhost:6333")
    assert context.cert_store_stats()["x509_ca"] == 0
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
