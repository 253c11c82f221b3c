"""Host, port and scheme of a connection become an address."""

import pytest

from code_patterns.errors import ConfigurationError
from code_patterns.servers.server_url import server_url


@pytest.mark.parametrize(
    ("host", "port", "scheme", "expected"),
    [
        ("localhost", 11434, "http", "http://localhost:11434"),
        ("localhost", None, "https", "https://localhost"),
        ("http://a.example:1/", 2, "https", "http://a.example:1"),
        ("https://a.example/v1/", None, "http", "https://a.example/v1"),
        ("https://a.example", 8443, "http", "https://a.example:8443"),
        ("a.example:99", 1, "http", "http://a.example:99"),
        ("::1", 80, "http", "http://[::1]"),
        ("::1", 8080, "http", "http://[::1]:8080"),
        ("compose_service", 8080, "http", "http://compose_service:8080"),
    ],
)
def test_server_url(host: str, port: int | None, scheme: str, expected: str) -> None:
    assert server_url("c", host, port, scheme) == expected


@pytest.mark.parametrize("host", ["a b", "http://[", "http://host:port"])
def test_a_host_that_is_none(host: str) -> None:
    with pytest.raises(ConfigurationError, match="'c'"):
        server_url("c", host, None, "http")
