"""An embedding server with a known cost: 20 ms per request and 5 ms per text, four requests at a time.

With batches of 100 it embeds at most 769 texts per second. It speaks Ollama's ``/api/embed``, and as much of
``/api/show`` as a client needs before it embeds. It runs in its own process and keeps every answer, so it takes hardly
any processor time from what is measured.
"""

import asyncio
import sys
import time

import orjson

from benchmarks.workload import AT_ONCE, DIMENSION
from code_patterns.embeddings.hashing import hash_text

REQUEST_SECONDS = 0.020
TEXT_SECONDS = 0.005


SHOWN = orjson.dumps(
    {"model_info": {"general.architecture": "benchmark", "benchmark.context_length": 8192}, "details": {}}
)


class Server:
    """Vectors of the hashing embedder, at the cost of a model.

    :param request_seconds: seconds that every request takes
    :param text_seconds: seconds that every text adds
    """

    def __init__(self, request_seconds: float, text_seconds: float) -> None:
        self._request_seconds = request_seconds
        self._text_seconds = text_seconds
        self._accelerator = asyncio.Semaphore(AT_ONCE)
        self._encoded: dict[str, bytes] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until the client closes it."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = head.decode("latin-1").lower().split("\r\n")
                [length] = [int(field.split(":")[1]) for field in fields if field.startswith("content-length:")]
                body = orjson.loads(await reader.readexactly(length))
                shown = fields[0].split()[1] == "/api/show"
                answer = SHOWN if shown else await self._embed(body["input"], body["model"])
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
                )
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _embed(self, given: str | list[str], model: str) -> bytes:
        texts = [given] if isinstance(given, str) else given
        async with self._accelerator:
            start = time.perf_counter()
            vectors = b",".join(self._vector(text) for text in texts)
            spent = time.perf_counter() - start
            await asyncio.sleep(self._request_seconds + self._text_seconds * len(texts) - spent)
        return b'{"model":%b,"embeddings":[%b],"prompt_eval_count":%d}' % (orjson.dumps(model), vectors, len(texts))

    def _vector(self, text: str) -> bytes:
        if text not in self._encoded:
            self._encoded[text] = orjson.dumps(hash_text(text, DIMENSION), option=orjson.OPT_SERIALIZE_NUMPY)
        return self._encoded[text]


async def main() -> None:
    """Serve on a free loopback port until standard input is closed; print the URL."""
    costs = [float(cost) for cost in sys.argv[1:]] or [REQUEST_SECONDS, TEXT_SECONDS]
    server = await asyncio.start_server(Server(*costs).serve, "127.0.0.1", 0)
    async with server:
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
