"""Send requests, and say why one got no answer."""

import os

import httpx

from code_patterns.codes import Code
from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.embeddings.faults import MisconfiguredError, TemporaryError, Trouble
from code_patterns.embeddings.proxy import Proxy
from code_patterns.servers.tls import client_refused, tls_context, tls_failure

_PASSING = (408, 425, 429)


class Transport(httpx.AsyncBaseTransport):
    """Sends requests, and adds the query of the connection's address to each.

    The query is added only here: httpx writes the URL of every request to its log and into its errors, and a query may
    hold a key.

    :param config: server and number of connections
    :param proxy: the proxy, or ``None``
    :param query: the query, escaped; empty for none
    """

    def __init__(self, config: EmbeddingConfig, proxy: Proxy | None, query: bytes) -> None:
        self._query = query
        self._network = httpx.AsyncHTTPTransport(
            verify=tls_context(
                config.base_url,
                conn_id=config.conn_id,
                ca_file=config.ca_file,
                verify=config.verify,
                cert_file=config.cert_file,
                key_file=config.key_file,
            ),
            limits=httpx.Limits(max_connections=config.concurrency),
            proxy=proxy.for_httpx() if proxy else None,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        if self._query:
            url = request.url.copy_with(query=self._query)
            request = httpx.Request(
                request.method, url, headers=request.headers, stream=request.stream, extensions=request.extensions
            )
        return await self._network.handle_async_request(request)

    async def aclose(self) -> None:
        """Close connections."""
        await self._network.aclose()


def undelivered(error: Exception, config: EmbeddingConfig, proxy: Proxy | None) -> TemporaryError | MisconfiguredError:
    """Say why a request got no answer.

    :param error: what httpx or the clock raised
    :param config: the server
    :param proxy: the proxy, or ``None``
    """
    if isinstance(error, httpx.ProxyError):
        return _refused_by_proxy(error)
    if isinstance(error, httpx.ConnectError) and (failure := tls_failure(error, "set its schema to 'http'")):
        return MisconfiguredError(*failure, Code.CERTIFICATE_REFUSED)
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        what = "the proxy" if proxy else "it"
        return TemporaryError(Trouble.UNREACHABLE, f"{what} cannot be reached: {_root_reason(error)}")
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        reason = f"it did not answer within {config.timeout:g} s (extra 'timeout')"
        return TemporaryError(Trouble.BUSY, reason, overload=True)
    if refused := client_refused(error):
        return MisconfiguredError(*refused, Code.CERTIFICATE_REFUSED)
    reason = f"the connection broke in the middle of a request ({type(error).__name__})"
    return TemporaryError(Trouble.FAILING, reason)


def _refused_by_proxy(error: httpx.ProxyError) -> TemporaryError | MisconfiguredError:
    """Judge a proxy's answer to CONNECT; httpx gives its status only as the beginning of a text."""
    word = str(error).partition(" ")[0]
    status = int(word) if word.isdecimal() else 0
    if status == 407:
        return MisconfiguredError(
            "the proxy wants a user and a password (407)", "Set its URL to http://user:password@host:port."
        )
    if 400 <= status < 500 and status not in _PASSING:
        return MisconfiguredError(
            f"the proxy forbids the way to it ({status})",
            "Let the proxy allow this server, or set the connection's extra 'proxy' to another one or to 'none'.",
        )
    said = f"the proxy answered {status}" if status else "the proxy made no connection to it"
    return TemporaryError(Trouble.UNREACHABLE, said)


def _root_reason(error: BaseException) -> str:
    """Return the operating system's message, which httpx hides behind "All connection attempts failed"."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    if isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ConnectionError) and error.errno:
        return os.strerror(error.errno)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or "no answer to the attempt to connect"
