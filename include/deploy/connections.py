"""Print the connections of the Compose services for ``airflow connections import``."""

import json
import os

CONNECTIONS = {
    "patterns_postgres": {
        "conn_type": "postgres",
        "description": "Source of the sync: the table pattern_lineage_nodes",
        "host": "patterns-db",
        "port": 5432,
        "schema": "patterns",
        "login": "patterns",
        "password": os.environ["PATTERNS_DB_PASSWORD"],
    },
    "patterns_qdrant": {
        "conn_type": "qdrant",
        "description": "Target of the sync: the collection code_patterns",
        "host": "qdrant",
        "port": 6333,
        "password": os.environ["QDRANT_API_KEY"],
        # With an API key, qdrant-client uses TLS unless told otherwise.
        "extra": {"https": False},
    },
    "patterns_embeddings": {
        "conn_type": "embedding",
        "description": "Turns code into vectors",
        "host": "ollama",
        "port": 11434,
        "schema": "http",
        # The prefixes come from the model's card: https://huggingface.co/nomic-ai/nomic-embed-text-v1.5
        "extra": {
            "api": "ollama",
            "model": "nomic-embed-text",
            "dimension": 768,
            "document_prefix": "search_document: ",
            "query_prefix": "search_query: ",
        },
    },
}

if __name__ == "__main__":
    print(json.dumps(CONNECTIONS, indent=2))
