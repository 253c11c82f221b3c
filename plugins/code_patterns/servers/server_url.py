"""Build the address of an HTTP server from the fields of a connection."""

import re
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError

_NO_HOST = re.compile(r"[\s%\[\]@\\]")


def server_url(conn_id: str, host: str, port: int | None, scheme: str, default_port: int | None = None) -> str:
    """Build the address of an HTTP server: as typed, with a port if one is known.

    Port 80 and 443 stay in the URL, because a client may have another default.

    :param conn_id: name of the Airflow connection, for messages; these never show what was typed
    :param host: host name or address, or a full URL; the URL's scheme wins
    :param port: port of the connection, or ``None``
    :param scheme: ``http`` or ``https``
    :param default_port: port if none was typed; ``None`` for the scheme's
    :return: the URL, without a slash at its end
    :raises ConfigurationError: it is no address, has two ports, or holds a user or a password
    """
    host = host.strip()
    if "://" not in host:
        bare_ipv6 = host.count(":") > 1 and not host.startswith("[")
        host = f"{scheme}://[{host}]" if bare_ipv6 else f"{scheme}://{host}"
    parts, typed_port = _split(host)
    if "@" in parts.netloc:
        raise ConfigurationError(
            Code.CONNECTION_WRONG,
            f"The host of connection '{conn_id}' holds a user or a password, which would show in logs. Put the API key "
            "into the connection's password.",
        )
    name = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not name or typed_port == 0 or _NO_HOST.search(name) or parts.fragment:
        raise _no_address(conn_id)
    if typed_port and port and typed_port != port:
        raise ConfigurationError(
            Code.CONNECTION_WRONG,
            f"Connection '{conn_id}' has port {port}, and {typed_port} in its host or URL. Set one of them.",
        )
    final_port = typed_port or port or default_port
    return (
        f"{parts.scheme}://{f'[{name}]' if ':' in name else name}{f':{final_port}' if final_port else ''}"
        f"{parts.path.rstrip('/')}{f'?{parts.query}' if parts.query else ''}"
    )


def _split(url: str) -> tuple[SplitResult, int | None]:
    """Return the parts of a URL and its port; for a malformed URL empty parts and port 0."""
    # Python's error about a port shows it. An error that is raised outside of this block does not carry that one.
    with suppress(ValueError):
        parts = urlsplit(url)
        return parts, (parts.port if parts.hostname else None)
    return SplitResult("", "", "", "", ""), 0


def _no_address(conn_id: str) -> ConfigurationError:
    return ConfigurationError(
        Code.CONNECTION_WRONG,
        f"The host, port or schema of connection '{conn_id}' makes no server's address. Set host and port, or a host "
        "such as 'https://host:port'.",
    )
