"""An embedding server with a known cost: 20 ms per request and 5 ms per text, four requests at a time.

With batches of 100 it embeds at most 769 texts per second. It speaks Ollama's ``/api/embed``, and as much of
``/api/show`` as a client needs before it embeds. It runs in its own process and keeps every answer, so it takes hardly
any processor time from what is measured. ``POST /embedded`` tells how many texts it has embedded. It refuses a request
with a text that holds :data:`POISON`.
"""

import asyncio
import sys
import time
from collections import Counter
from typing import Any

import orjson

from benchmarks.workload import AT_ONCE, DIMENSION
from code_patterns.embeddings.hashing import hash_text

REQUEST_SECONDS = 0.020
TEXT_SECONDS = 0.005
POISON = "a text that this model does not take"
REFUSED = orjson.dumps({"error": "the input is not valid"})

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
        self._times: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until the client closes it."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = head.decode("latin-1").lower().split("\r\n")
                [length] = [int(field.split(":")[1]) for field in fields if field.startswith("content-length:")]
                body = orjson.loads(await reader.readexactly(length))
                status, answer = await self._answer(fields[0].split()[1], body, reader)
                head_lines = (
                    f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
                )
                writer.write(head_lines.encode("latin-1"))
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, path: str, body: dict[str, Any], reader: asyncio.StreamReader) -> tuple[str, bytes]:
        if path == "/api/show":
            return "200 OK", SHOWN
        if path == "/embedded":
            total = self._times.total()
            return "200 OK", orjson.dumps({"texts": total, "again": total - len(self._times)})
        given = body["input"]
        texts = [given] if isinstance(given, str) else given
        if any(POISON in text for text in texts):
            return "400 Bad Request", REFUSED
        return "200 OK", await self._embed(texts, body["model"], reader)

    async def _embed(self, texts: list[str], model: str, reader: asyncio.StreamReader) -> bytes:
        async with self._accelerator:
            if reader.at_eof():
                # The client has been killed while its request waited.
                raise ConnectionError
            start = time.perf_counter()
            self._times.update(texts)
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
