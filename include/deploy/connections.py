"""Print the connections of the Compose services for ``airflow connections import``.

``PATTERNS_DB_PASSWORD_FILE`` and ``QDRANT_API_KEY_FILE`` name files with one secret each. ``PATTERNS_CA_FILE`` names
the certificate of the authority that both servers' certificates come from; without it the connections use no TLS.
"""

import json
import os
from pathlib import Path
from typing import Any


def secret(name: str) -> str:
    """Return the content of the file that this environment variable names."""
    return Path(os.environ[name]).read_text().strip()


CA_FILE = os.environ.get("PATTERNS_CA_FILE")

CONNECTIONS: dict[str, dict[str, Any]] = {
    "patterns_postgres": {
        "conn_type": "postgres",
        "description": "Source of the sync: the table pattern_lineage_nodes",
        "host": "patterns-db",
        "port": 5432,
        "schema": "patterns",
        "login": "patterns",
        "password": secret("PATTERNS_DB_PASSWORD_FILE"),
        "extra": {"sslmode": "verify-full", "sslrootcert": CA_FILE} if CA_FILE else {},
    },
    "patterns_qdrant": {
        "conn_type": "qdrant",
        "description": "Target of the sync: the collection code_patterns",
        "host": "qdrant",
        "port": 6333,
        "password": secret("QDRANT_API_KEY_FILE"),
        # With an API key, qdrant-client uses TLS unless told otherwise.
        "extra": {"https": True, "ca_file": CA_FILE} if CA_FILE else {"https": False},
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
