"""Which proxy leads to a server, and who named it."""

import importlib.util
import ipaddress
import os
import re
from dataclasses import dataclass, field
from urllib.parse import unquote
from urllib.request import getproxies

import httpx

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.servers.tls import tls_context

NO_PROXY = "none"
"""Value of the extra ``proxy`` for no proxy, whatever the environment says."""

_HTTP = ("http", "https")
_SOCKS = ("socks5", "socks5h")


@dataclass(frozen=True)
class Proxy:
    """A proxy in use.

    :param url: its URL; it may hold user and password
    :param origin: who named it: the connection's extra, or an environment variable
    """

    url: httpx.URL = field(repr=False)
    origin: str

    @property
    def address(self) -> str:
        """The proxy in words, for messages, without user and password."""
        return f"proxy {self.url.netloc.decode('ascii')} ({self.origin})"

    @property
    def secrets(self) -> list[str]:
        """The secrets in the URL, which no message may show."""
        raw = self.url.userinfo.decode("ascii").partition(":")[2]
        return [raw, unquote(raw)]

    def for_httpx(self) -> httpx.Proxy:
        """Return the proxy in the form that httpx takes."""
        secure = self.url.scheme == "https"
        return httpx.Proxy(self.url, ssl_context=tls_context(str(self.url)) if secure else None)


def proxy_for(conn_id: str, server: httpx.URL, chosen: str) -> Proxy | None:
    """Find the proxy for a server.

    A proxy named in the connection is used first. Otherwise the environment decides as in httpx: ``HTTP_PROXY`` or
    ``HTTPS_PROXY`` by the server's scheme, then ``ALL_PROXY``, unless ``NO_PROXY`` names the server.

    :param conn_id: name of the Airflow connection, used in messages
    :param server: the server's URL
    :param chosen: the connection's extra ``proxy``: a URL, ``none``, or empty to follow the environment
    :raises ConfigurationError: the proxy's URL cannot be used
    """
    chosen = chosen.strip()
    if chosen.lower() == NO_PROXY:
        return None
    if chosen:
        return _usable(conn_id, chosen, "extra 'proxy'")
    proxies = getproxies()
    if any(_covers(entry.strip(), server) for entry in proxies.get("no", "").split(",")):
        return None
    for scheme in (server.scheme, "all"):
        if value := proxies.get(scheme):
            return _usable(conn_id, value, _origin(f"{scheme}_proxy"))
    return None


def _origin(variable: str) -> str:
    """Name the environment variable as it is spelt; if both spellings are set, lower case wins."""
    spelt = [name for name in os.environ if name.lower() == variable and os.environ[name]]
    return f"environment variable {max(spelt, key=str.islower)}" if spelt else "this system's settings"


def _usable(conn_id: str, text: str, origin: str) -> Proxy:
    try:
        url = httpx.URL(text if "://" in text else f"http://{text}")
    except httpx.InvalidURL:
        url = httpx.URL()
    proxy = Proxy(url, origin)
    if url.scheme not in _HTTP + _SOCKS or not url.host:
        raise ConfigurationError(
            Code.CONNECTION_WRONG,
            f"The connection '{conn_id}' is to go through a proxy whose address cannot be used ({origin}). Write it "
            "as http://host:port, or set the connection's extra 'proxy' to 'none' to use no proxy.",
        )
    if url.scheme in _SOCKS and importlib.util.find_spec("socksio") is None:
        raise ConfigurationError(
            Code.PACKAGE_MISSING,
            f"The connection '{conn_id}' is to go through the SOCKS {proxy.address}, which needs the Python package "
            "'socksio'. Install httpx[socks], name an HTTP proxy, or set the connection's extra 'proxy' to 'none'.",
        )
    return proxy


def _covers(entry: str, server: httpx.URL) -> bool:
    """Whether an entry of ``NO_PROXY`` names the server, by the rules of httpx.

    A name matches itself and its subdomains; with a dot before it, only the subdomains. An address or ``localhost``
    matches itself. A port or a scheme must match too.
    """
    if entry in ("", "*"):
        return entry == "*"
    exact = "://" in entry or entry.lower() == "localhost" or _is_address(entry)
    written = f"[{entry}]" if _is_address(entry) and ":" in entry else entry
    try:
        pattern = httpx.URL(written if "://" in written else f"all://{written}")
    except httpx.InvalidURL:
        return False
    below = "" if exact else ".+" if pattern.host.startswith(".") else r"(.+\.)?"
    return (
        pattern.scheme in ("all", server.scheme)
        and pattern.port in (None, server.port)
        and re.fullmatch(below + re.escape(pattern.host), server.host) is not None
    )


def _is_address(entry: str) -> bool:
    try:
        ipaddress.ip_address(entry.partition("/")[0])
    except ValueError:
        return False
    return True
