"""What people type into a connection."""

import pytest

from code_patterns.errors import ConfigurationError
from code_patterns.servers.connection_fields import Extras, server_url


@pytest.mark.parametrize("text", [None, "", "  ", "{}", '{"a": null, "b": ""}'])
def test_nothing_set(text: str | None) -> None:
    extras = Extras.parse("c", text)
    assert extras.values == {}
    assert extras.text("a", "default") == "default"
    assert extras.whole_number("a", 7) == 7
    assert extras.number("a", 1.5) == 1.5
    assert extras.flag("a") is None


@pytest.mark.parametrize("text", ["[1]", "7", '"text"', "{", "nonsense"])
def test_an_extra_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="extra of connection 'c' is not a JSON object"):
        Extras.parse("c", text)


def test_numbers_and_flags_may_be_text_as_in_a_uri() -> None:
    extras = Extras.parse("c", '{"n": "768", "s": "2.5", "t": "True", "f": "false", "m": "0"}')
    assert extras.whole_number("n", 0) == 768
    assert extras.number("s", 0) == 2.5
    assert [extras.flag(name) for name in "tfm"] == [True, False, False]


@pytest.mark.parametrize("value", ['"abc"', "1.5", "true", "[1]", '"1e3"'])
def test_no_whole_number(value: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Connection 'c' has extra 'n' = .*whole number"):
        Extras.parse("c", f'{{"n": {value}}}').whole_number("n", 0)


def test_a_whole_number_below_the_least() -> None:
    with pytest.raises(ConfigurationError, match="at least 1"):
        Extras.parse("c", '{"n": 0}').whole_number("n", 5, least=1)


@pytest.mark.parametrize("value", ['"abc"', "true", "{}"])
def test_no_number_no_flag_no_text(value: str) -> None:
    extras = Extras.parse("c", f'{{"n": {value}}}')
    with pytest.raises(ConfigurationError, match="a number"):
        extras.number("n", 0)
    if value != "true":
        with pytest.raises(ConfigurationError, match="true or false"):
            extras.flag("n")
    if value != '"abc"':
        with pytest.raises(ConfigurationError, match="a text"):
            extras.text("n")


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
