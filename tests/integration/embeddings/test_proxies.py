"""Embedding through a real proxy, and what is said when the proxy is the one at fault."""

import asyncio
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from code_patterns.embeddings import EmbeddingConfig, RetryPolicy, open_embedder
from code_patterns.embeddings.proxy import proxy_for
from code_patterns.errors import ConfigurationError, OutageError, PatternsError
from tests.support import proxy as proxies
from tests.support.faulty_embeddings import EmbeddingServer, status
from tests.support.proxy import ProxyServer
from tests.support.tls import serving_tls

QUICK = RetryPolicy(attempts=2, total=5, first_wait=0.01, longest_wait=0.05)
PASSWORD = "geheim-0123456789"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine itself is set to."""
    for name in os.environ:
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def check(url: str, **changes: Any) -> None:
    """Embed one word."""
    config = EmbeddingConfig("patterns_embeddings", "ollama", "m", base_url=url, timeout=5.0, **changes)

    async def run() -> None:
        embedder = open_embedder(config, retry=QUICK)
        try:
            await embedder.check()
        finally:
            await embedder.aclose()

    asyncio.run(run())


def failure(url: str, **changes: Any) -> PatternsError:
    with pytest.raises(PatternsError) as caught:
        check(url, **changes)
    assert PASSWORD not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


@pytest.fixture
def tunnelled(tmp_path: Path) -> str:
    """An HTTPS URL behind which nothing need be: only a proxy is asked for it."""
    return "https://embeddings.invalid"


def test_requests_go_through_the_proxy_of_the_connection(embedding_server: EmbeddingServer) -> None:
    with proxies.running(ProxyServer(login=f"me:{PASSWORD}")) as proxy:
        check(embedding_server.url, proxy=proxy.url.replace("//", f"//me:{PASSWORD}@"))
        assert proxy.seen == [f"POST {embedding_server.url}/api/embed"]
    assert embedding_server.texts == ["function"]


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_requests_go_through_the_proxy_of_the_environment(
    embedding_server: EmbeddingServer, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxies.running(ProxyServer()) as proxy:
        monkeypatch.setenv(variable, proxy.url.removeprefix("http://"))
        check(embedding_server.url)
        assert len(proxy.seen) == 1
        check(embedding_server.url, proxy="none")
        monkeypatch.setenv("NO_PROXY", "example.com, 127.0.0.1")
        check(embedding_server.url)
        assert len(proxy.seen) == 1
        # As in httpx, NO_PROXY is about the environment's proxies.
        check(embedding_server.url, proxy=proxy.url)
        assert len(proxy.seen) == 2


@pytest.mark.parametrize("by", ["extra", "HTTP_PROXY", "all_proxy"])
def test_a_dead_proxy_is_an_outage_of_the_proxy(
    embedding_server: EmbeddingServer, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxies.running(ProxyServer()) as proxy:
        url = proxy.url.replace("//", f"//me:{PASSWORD}@")
    if by != "extra":
        monkeypatch.setenv(by, url)
    error = failure(embedding_server.url, proxy=url if by == "extra" else "")
    assert type(error) is OutageError
    origin = "extra 'proxy'" if by == "extra" else f"environment variable {by}"
    assert f"through the proxy 127.0.0.1:{proxy.port} ({origin})" in str(error)
    assert "the proxy cannot be reached: Connection refused" in str(error)
    assert embedding_server.requests == 0


@pytest.mark.parametrize("secure", [False, True], ids=["forwarded", "tunnelled"])
@pytest.mark.parametrize(("code", "word"), [(403, "allow"), (407, "a user and a password")])
def test_a_proxy_that_refuses_needs_a_person(
    embedding_server: EmbeddingServer, tunnelled: str, secure: bool, code: int, word: str
) -> None:
    with proxies.running(ProxyServer(status=code)) as proxy:
        error = failure(tunnelled if secure else embedding_server.url, proxy=proxy.url)
        assert len(proxy.seen) == 1
    assert type(error) is ConfigurationError
    assert f"proxy 127.0.0.1:{proxy.port} (extra 'proxy')" in str(error)
    assert str(code) in str(error)
    assert word in str(error)


@pytest.mark.parametrize("code", [429, 502, 503, 504])
def test_a_proxy_that_cannot_get_through_is_an_outage(tunnelled: str, code: int) -> None:
    with proxies.running(ProxyServer(status=code)) as proxy:
        error = failure(tunnelled, proxy=proxy.url)
        assert len(proxy.seen) == QUICK.attempts
    assert type(error) is OutageError
    assert f"the proxy answered {code}" in str(error)


def test_the_servers_own_refusal_through_a_proxy_names_both(embedding_server: EmbeddingServer) -> None:
    embedding_server.always = status(403)
    with proxies.running(ProxyServer()) as proxy:
        error = failure(embedding_server.url, proxy=proxy.url)
    assert type(error) is ConfigurationError
    assert "API key" in str(error)
    assert "proxy" in str(error)


@pytest.mark.parametrize(
    ("url", "word"),
    [
        (f"socks5://me:{PASSWORD}@127.0.0.1:1080", "socksio"),
        (f"socks4://me:{PASSWORD}@127.0.0.1:1080", "http://host:port"),
        ("ftp://127.0.0.1:1080", "http://host:port"),
        ("http://", "http://host:port"),
        ("http://127.0.0.1:port", "http://host:port"),
    ],
)
@pytest.mark.parametrize("by", ["extra", "HTTP_PROXY"])
def test_a_proxy_that_cannot_be_used_is_named(
    embedding_server: EmbeddingServer, url: str, word: str, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a machine has installed is not for a test to depend on.
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    if by == "HTTP_PROXY":
        monkeypatch.setenv(by, url)
    error = failure(embedding_server.url, proxy=url if by == "extra" else "")
    assert type(error) is ConfigurationError
    for expected in ("proxy", word, by if by == "HTTP_PROXY" else "extra 'proxy'", "'patterns_embeddings'"):
        assert expected in str(error)
    assert embedding_server.requests == 0


@pytest.mark.parametrize("through_proxy", [False, True], ids=["direct", "tunnelled"])
def test_a_certificate_that_nobody_trusts_is_said_so_at_once(
    embedding_server: EmbeddingServer, tmp_path: Path, through_proxy: bool
) -> None:
    with serving_tls(embedding_server, tmp_path) as url, proxies.running(ProxyServer()) as proxy:
        error = failure(url, proxy=proxy.url if through_proxy else "none")
        assert len(proxy.seen) == through_proxy
    assert type(error) is ConfigurationError
    assert "certificate is not trusted (self-signed certificate)" in str(error)
    assert "Start it" not in str(error)


def test_plain_http_at_the_end_of_an_https_address(embedding_server: EmbeddingServer) -> None:
    error = failure(embedding_server.url.replace("http:", "https:"))
    assert type(error) is ConfigurationError
    assert "set its schema to 'http'" in str(error)


def test_a_trusted_certificate_works_through_a_tunnel(
    embedding_server: EmbeddingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_tls(embedding_server, tmp_path) as url, proxies.running(ProxyServer()) as proxy:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "self_signed.pem"))
        check(url, proxy=proxy.url)
        assert proxy.seen == [f"CONNECT {url.removeprefix('https://')}"]
    assert embedding_server.texts == ["function"]


@pytest.mark.parametrize(
    "no_proxy",
    [
        "", "*", "example.com", ".example.com", "api.example.com", "ample.com", "EXAMPLE.com", "example.com:8443",
        "api.example.com:8443", "https://api.example.com", "http://api.example.com", "127.0.0.1", "127.0.0.1:8443",
        "::1", "localhost", "127.0.0.0/8", "a.b, api.example.com", "*.example.com", "[broken",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "server",
    [
        "https://api.example.com", "https://example.com", "http://api.example.com:8443", "http://localhost:11434",
        "http://127.0.0.1:8443", "http://[::1]:11434", "https://sample.com",
    ],
)  # fmt: skip
def test_the_environment_counts_as_in_httpx(server: str, no_proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://plain:1")
    monkeypatch.setenv("ALL_PROXY", "http://both:2")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    try:
        # Without certificates, which take 20 ms to load for each proxy and are not asked for here.
        with httpx.Client(verify=False) as client:  # noqa: S501
            transport = client._transport_for_url(httpx.URL(server))
            proxied = transport is not client._transport
    except (httpx.InvalidURL, ValueError):
        proxied = True  # httpx breaks on such an entry; here it covers nothing
    found = proxy_for("c", httpx.URL(server), "")
    assert (found is not None) == proxied
    if found:
        assert found.url.host == ("plain" if server.startswith("http:") else "both")
