"""A script on LISTEN/NOTIFY that writes one point for each notice, as public guides show it.

A trigger calls ``pg_notify`` with the row's id. The script reads the row, embeds it, and writes its point. What is
committed while it is not running, it never sees.
"""

import sys
from collections.abc import Callable

import httpx
import psycopg
from qdrant_client import QdrantClient, models

from benchmarks.peers.documents import COLUMNS, document_of
from benchmarks.workload import DIMENSION, MODEL, QDRANT_API_KEY, Workload
from code_patterns.embeddings.hashing import hash_text

TRIGGER = """
CREATE OR REPLACE FUNCTION pattern_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('pattern_changed', NEW.id::text);
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER pattern_changed AFTER INSERT OR UPDATE ON pattern_lineage_nodes
    FOR EACH ROW EXECUTE FUNCTION pattern_changed();
"""
ROW = f"SELECT {COLUMNS} FROM pattern_lineage_nodes WHERE id = %s AND pattern_type = 'code'"  # noqa: S608 (fixed)


def embedder(workload: Workload, api: str) -> Callable[[str], list[float]]:
    """Return what makes a vector of a text."""
    if api == "hashing":
        return lambda text: list(hash_text(text, DIMENSION).tolist())
    client = httpx.Client(base_url=workload.embedding_url, timeout=60)

    def ask(text: str) -> list[float]:
        answer = client.post("/api/embed", json={"model": MODEL, "input": text}).raise_for_status()
        [vector] = answer.json()["embeddings"]
        return list(vector)

    return ask


def main(workload: Workload, api: str) -> None:
    """Listen until the process is ended."""
    embed = embedder(workload, api)
    client = QdrantClient(url=workload.qdrant_url, api_key=QDRANT_API_KEY, timeout=60, check_compatibility=False)
    with (
        psycopg.connect(workload.dsn, autocommit=True) as listening,
        psycopg.connect(workload.dsn, autocommit=True) as reading,
    ):
        reading.execute(TRIGGER)
        listening.execute("LISTEN pattern_changed")
        for notice in listening.notifies():
            row = reading.execute(ROW, [notice.payload]).fetchone()
            if row is None:
                continue
            document = document_of(*row)
            payload = document.metadata | {"text": document.text}
            point = models.PointStruct(id=str(document.id), vector=embed(document.text), payload=payload)
            client.upsert(workload.collection, [point], wait=True)


if __name__ == "__main__":
    main(Workload.from_arguments(), sys.argv[2])
