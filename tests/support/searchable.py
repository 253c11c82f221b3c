"""Fill a collection with both vectors of each row."""

from qdrant_client import AsyncQdrantClient, models

from code_patterns.embeddings import open_embedder
from code_patterns.embeddings.words import words_of
from code_patterns.sync.collection import METADATA_KEY
from code_patterns.sync.pattern import SourceRow, pattern_of
from tests.support.two_sides import TwoSides


def fill(sides: TwoSides) -> None:
    found = sides.execute(
        "SELECT id, pattern_id, pattern_name, pattern_type, pattern_version, pattern_data::text, metadata::text, "
        "created_at, file_path, language, NULL FROM pattern_lineage_nodes WHERE pattern_type = 'code'"
    )
    patterns = [pattern_of(SourceRow(*row), sides.recipe) for row in found]

    async def write(client: AsyncQdrantClient) -> None:
        vectors = models.VectorParams(size=sides.embedding.dimension, distance=models.Distance.COSINE)
        sparse = {"words": models.SparseVectorParams(modifier=models.Modifier.IDF)}
        await client.create_collection(
            sides.collection,
            vectors_config=vectors,
            sparse_vectors_config=sparse,
            metadata={METADATA_KEY: {"recipe": sides.recipe}},
        )
        embedded = await open_embedder(sides.embedding).embed_documents([item.text for item in patterns])
        points = []
        for item, vector in zip(patterns, embedded.vectors, strict=True):
            words = words_of((item.payload["file_path"], item.payload["code"]), item.payload["pattern_name"])
            named = {
                "": vector.tolist(),
                "words": models.SparseVector(indices=words.indices.tolist(), values=words.values.tolist()),
            }
            points.append(models.PointStruct(id=str(item.id), vector=named, payload=item.payload))
        await client.upsert(sides.collection, points=points, wait=True)

    sides.with_client(write)
