"""The address of an HTTP server, put together from the fields of a connection."""

import httpx

from code_patterns.errors import ConfigurationError


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
