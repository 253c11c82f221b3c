"""Read the fields of an Airflow connection, in which a person has typed."""

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, NoReturn

import httpx

from code_patterns.errors import ConfigurationError


@dataclass(frozen=True)
class Extras:
    """The extra fields of a connection.

    A form stores empty fields as null or as empty text, and a connection given as a URI holds every value as
    text: null and empty text mean "not set", and ``"768"`` is a number.

    :param conn_id: name of the Airflow connection, used in messages
    :param values: the decoded extra
    """

    conn_id: str
    values: Mapping[str, Any]

    @classmethod
    def parse(cls, conn_id: str, text: str | None) -> "Extras":
        """Decode the extra of a connection.

        :param conn_id: name of the Airflow connection
        :param text: a JSON object, or nothing
        :raises ConfigurationError: it is something else
        """
        try:
            values = json.loads(text) if text and text.strip() else {}
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise ConfigurationError(
                f"The extra of connection '{conn_id}' is not a JSON object. Correct it, for example: "
                '{"timeout": 30}.'
            )
        return cls(conn_id, {name: value for name, value in values.items() if value not in (None, "")})

    def refuse_unknown(self, known: Set[str], hint: str) -> None:
        """Refuse misspelt names, which would otherwise count as not set.

        :param known: what may be set
        :param hint: how to find the right name, for the message
        :raises ConfigurationError: a field is not among the known ones
        """
        for name in sorted(self.values.keys() - known):
            raise ConfigurationError(
                f"Connection '{self.conn_id}' has the unknown extra '{name}'. Remove or rename it; {hint}."
            )

    def text(self, name: str, default: str = "") -> str:
        """Return a text, blanks at its ends included."""
        value = self.values.get(name, default)
        if not isinstance(value, str):
            self._refuse(name, "a text")
        return str(value)

    def whole_number(self, name: str, default: int, *, least: int | None = None) -> int:
        """Return a whole number.

        :raises ConfigurationError: it is none, or below ``least``
        """
        value = self.values.get(name, default)
        rule = "a whole number" if least is None else f"a whole number of at least {least}"
        if isinstance(value, bool) or not isinstance(value, int | str):
            self._refuse(name, rule)
        try:
            number = int(value)
        except ValueError:
            self._refuse(name, rule)
        if least is not None and number < least:
            self._refuse(name, rule)
        return number

    def number(self, name: str, default: float) -> float:
        """Return a number.

        :raises ConfigurationError: it is none
        """
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            self._refuse(name, "a number")
        try:
            return float(value)
        except (OverflowError, ValueError):
            self._refuse(name, "a number")

    def flag(self, name: str) -> bool | None:
        """Return true or false, or ``None`` when it is not set.

        :raises ConfigurationError: it is neither
        """
        value = self.values.get(name)
        if value is None or isinstance(value, bool):
            return value
        words = {"true": True, "1": True, "false": False, "0": False}
        if str(value).strip().lower() not in words:
            self._refuse(name, "true or false")
        return words[str(value).strip().lower()]

    def _refuse(self, name: str, rule: str) -> NoReturn:
        raise ConfigurationError(
            f"Connection '{self.conn_id}' has extra '{name}' = {self.values[name]!r}. "
            f"It must be {rule}; change it there."
        )


def server_url(conn_id: str, host: str, port: int | None, scheme: str) -> str:
    """Put the address of an HTTP server together.

    :param conn_id: name of the Airflow connection, used in messages
    :param host: host name or address, or a full URL, whose own scheme and port win
    :param port: port of the connection, or ``None`` for the scheme's own
    :param scheme: ``http`` or ``https``
    :raises ConfigurationError: no address comes out of these
    """
    host = host.strip().rstrip("/")
    if "://" not in host:
        host = f"{scheme}://[{host}]" if host.count(":") > 1 and not host.startswith("[") else f"{scheme}://{host}"
    try:
        url = httpx.URL(host)
        # httpx takes a blank or a bracket as part of a name and escapes it.
        if not url.host or any(character in url.host for character in " %[]"):
            raise httpx.InvalidURL("it is no host name")
        return str(url if url.port or not port else url.copy_with(port=port))
    except httpx.InvalidURL as error:
        raise ConfigurationError(
            f"The host and port of connection '{conn_id}' make no address: {error}. Set host and port, or a host "
            "such as 'https://host:port'."
        ) from None
