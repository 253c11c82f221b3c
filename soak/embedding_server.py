"""An embedding server that can be slow or fail on demand.

It speaks as much of Ollama's API as a client needs, with the vectors of the hashing embedder. ``POST /pace`` sets how
it behaves from then on. It keeps nothing, so its memory says something about nobody but itself.
"""

import asyncio
import sys
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from code_patterns.embeddings.hashing import hash_text

DIMENSION = 256
MODEL = "hashing"


@dataclass
class Pace:
    """How it behaves.

    :param request_seconds: seconds that every request takes
    :param text_seconds: seconds that every text adds
    :param status: answers every request with this status; 200 answers vectors
    """

    request_seconds: float = 0.02
    text_seconds: float = 0.002
    status: int = 200


class EmbeddingServer:
    """Answers with vectors at the pace that was set last."""

    def __init__(self) -> None:
        self._pace = Pace()

    async def embed(self, request: Request) -> Response:
        """Answer ``POST /api/embed``."""
        body, pace = await request.json(), self._pace
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        await asyncio.sleep(pace.request_seconds + pace.text_seconds * len(texts))
        if pace.status != 200:
            return JSONResponse({"error": "the soak wants it so"}, pace.status)
        vectors = [hash_text(text, DIMENSION).tolist() for text in texts]
        return JSONResponse({"model": body["model"], "embeddings": vectors, "prompt_eval_count": len(texts)})

    async def show(self, request: Request) -> Response:
        """Answer ``POST /api/show``."""
        shown = {"general.architecture": "soak", "soak.context_length": 8192}
        return JSONResponse({"model_info": shown, "details": {}})

    async def set_pace(self, request: Request) -> Response:
        """Answer ``POST /pace``."""
        self._pace = Pace(**await request.json())
        return Response()


if __name__ == "__main__":
    server = EmbeddingServer()
    routes = [
        Route("/api/embed", server.embed, methods=["POST"]),
        Route("/api/show", server.show, methods=["POST"]),
        Route("/pace", server.set_pace, methods=["POST"]),
    ]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
