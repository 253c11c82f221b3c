"""The address of an HTTP server, put together from the fields of a connection."""

import re
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit

from code_patterns.errors import ConfigurationError

_NO_HOST = re.compile(r"[\s%\[\]@\\]")


def server_url(conn_id: str, host: str, port: int | None, scheme: str, default_port: int | None = None) -> str:
    """Put the address of an HTTP server together: exactly what was typed, and a port in any case where one is known.

    A port that is the scheme's own (80, 443) stays in the URL: what reads it later may have another default.

    :param conn_id: name of the Airflow connection, used in messages, which never repeat what was typed
    :param host: host name or address, or a full URL, whose own scheme wins
    :param port: port of the connection, or ``None``
    :param scheme: ``http`` or ``https``
    :param default_port: port where none was typed, or ``None`` for the scheme's own
    :return: the URL, without a slash at its end
    :raises ConfigurationError: no address comes out of these, two ports do, or it holds a user or a password
    """
    host = host.strip()
    if "://" not in host:
        bare_ipv6 = host.count(":") > 1 and not host.startswith("[")
        host = f"{scheme}://[{host}]" if bare_ipv6 else f"{scheme}://{host}"
    parts, typed_port = _split(host)
    if "@" in parts.netloc:
        raise ConfigurationError(
            f"The host of connection '{conn_id}' holds a user or a password, which would show in logs. Put the API key "
            "into the connection's password."
        )
    name = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not name or typed_port == 0 or _NO_HOST.search(name) or parts.fragment:
        raise _no_address(conn_id)
    if typed_port and port and typed_port != port:
        raise ConfigurationError(
            f"Connection '{conn_id}' has port {port}, and {typed_port} in its host or URL. Set one of them."
        )
    final_port = typed_port or port or default_port
    return (
        f"{parts.scheme}://{f'[{name}]' if ':' in name else name}{f':{final_port}' if final_port else ''}"
        f"{parts.path.rstrip('/')}{f'?{parts.query}' if parts.query else ''}"
    )


def _split(url: str) -> tuple[SplitResult, int | None]:
    """Return the parts of a URL and its port; a URL that has none of its parts, or port 0, is malformed."""
    # Python's error about a port repeats it. Raised outside of this block, ours does not carry it along.
    with suppress(ValueError):
        parts = urlsplit(url)
        return parts, (parts.port if parts.hostname else None)
    return SplitResult("", "", "", "", ""), 0


def _no_address(conn_id: str) -> ConfigurationError:
    return ConfigurationError(
        f"The host, port or schema of connection '{conn_id}' makes no server's address. Set host and port, or a host "
        "such as 'https://host:port'."
    )
