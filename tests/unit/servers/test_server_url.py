"""Host, port and scheme of a connection become an address."""

import pytest

from code_patterns.errors import ConfigurationError
from code_patterns.servers.server_url import server_url


@pytest.mark.parametrize(
    ("host", "port", "scheme", "expected"),
    [
        ("localhost", 11434, "http", "http://localhost:11434"),
        ("localhost", None, "https", "https://localhost"),
        ("http://a.example:1/", 1, "https", "http://a.example:1"),
        ("https://a.example/v1/", None, "http", "https://a.example/v1"),
        ("https://a.example", 8443, "http", "https://a.example:8443"),
        ("a.example:99", 99, "http", "http://a.example:99"),
        ("a.example", 80, "http", "http://a.example:80"),
        ("https://A.Example:443/V1/", None, "http", "https://a.example:443/V1"),
        ("https://a.example/v1/?api-version=1", None, "http", "https://a.example/v1?api-version=1"),
        ("::1", 80, "http", "http://[::1]:80"),
        ("::1", 8080, "http", "http://[::1]:8080"),
        ("compose_service", 8080, "http", "http://compose_service:8080"),
    ],
)
def test_server_url(host: str, port: int | None, scheme: str, expected: str) -> None:
    assert server_url("c", host, port, scheme) == expected


@pytest.mark.parametrize("host", ["a b", "http://[", "http://host:port", "http://h:99999", "ftp://h", "http://h#x"])
def test_a_host_that_is_none(host: str) -> None:
    with pytest.raises(ConfigurationError, match="'c' makes no server's address"):
        server_url("c", host, None, "http")


@pytest.mark.parametrize("host", ["geheim@h", "https://me:geheim@h", "https://me:ge/heim@h"])
def test_a_password_in_a_host_is_refused_and_not_repeated(host: str) -> None:
    with pytest.raises(ConfigurationError, match="'c'") as caught:
        server_url("c", host, None, "http")
    assert "heim" not in str(caught.value)


def test_two_ports_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="has port 2, and 1 in its host or URL"):
        server_url("c", "h:1", 2, "http")
