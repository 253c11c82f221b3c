"""What Airflow's connection form shows for the connection types of this bundle.

Airflow finds this package through the ``*.dist-info`` folder beside it, because the plugins folder is on ``sys.path``.
Nothing has to be packaged or installed. The package is not part of ``code_patterns``: every Airflow process imports it
at its start. If that imported ``code_patterns``, a run of a Git bundle could not use the code of its own commit.
"""

from typing import Any


def _field(label: str, kind: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": [kind, "null"], **schema}}


_TLS_FIELDS = {
    "ca_file": _field(
        "CA file",
        "string",
        "PEM file of the authorities to trust instead of the machine's own; a path on the workers.",
    ),
    "cert_file": _field(
        "Client certificate",
        "string",
        "PEM file of the certificate that this client shows, for servers that ask for one; a path on the workers.",
    ),
    "key_file": _field(
        "Client key",
        "string",
        "PEM file of its private key, without a password; empty if the file above holds it too.",
    ),
    "verify": _field(
        "Check certificate",
        "boolean",
        "Off accepts any certificate, so anybody in between can read and change what is sent. For trials only.",
        default=True,
    ),
}

EMBEDDING_FIELDS = {
    "api": _field(
        "API",
        "string",
        "Protocol of the server. 'fastembed' runs a model in the worker. 'hashing' is built in, needs neither, and "
        "compares spelling, not meaning.",
        enum=["ollama", "openai", "fastembed", "hashing"],
    ),
    "model": _field("Model", "string", "The server's name of the model, for example nomic-embed-text."),
    "dimension": _field(
        "Dimension", "integer", "Length of the model's vectors.", default=768, minimum=1, maximum=65536
    ),
    "document_prefix": _field(
        "Document prefix",
        "string",
        "Put before every stored text; for nomic-embed-text 'search_document: ', with the blank. A change embeds "
        "everything again.",
    ),
    "query_prefix": _field(
        "Query prefix", "string", "Put before every search text; for nomic-embed-text 'search_query: ', with the blank."
    ),
    "concurrency": _field("Concurrency", "integer", "Requests in flight at once.", default=4, minimum=1),
    "timeout": _field("Timeout", "number", "Seconds to wait for one answer.", default=60, exclusiveMinimum=0),
    "max_characters": _field(
        "Longest text", "integer", "Texts are cut to this many characters; 0 cuts nothing.", default=0, minimum=0
    ),
    **_TLS_FIELDS,
    "proxy": _field(
        "Proxy",
        "string",
        "URL of the proxy, such as http://user:password@host:3128, or 'none' for no proxy. If empty, the worker's "
        "environment decides: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY.",
        format="password",
    ),
    "send_dimensions": _field(
        "Send dimensions",
        "boolean",
        "Ask the server for vectors of the dimension above; for models that have several.",
        default=False,
    ),
    "encoding_format": _field(
        "Encoding of vectors",
        "string",
        "Encoding to ask an OpenAI-compatible server for; base64 is shorter. Empty asks for none.",
        enum=["float", "base64"],
    ),
    "path": _field(
        "Model folder",
        "string",
        "For 'fastembed': folder with the files of the model, on the workers. Empty looks for the model by its name, "
        "in the cache folder and then in the hub.",
    ),
    "cache_dir": _field("Cache folder", "string", "For 'fastembed': where models are kept by name, on the workers."),
    "threads": _field(
        "Threads", "integer", "For 'fastembed': threads of the model in one process.", default=2, minimum=1, maximum=64
    ),
}

QDRANT_FIELDS = {
    "path": _field(
        "Path", "string", "Folder of an embedded storage, instead of a server. One process at a time can open it."
    ),
    "timeout": _field("Timeout", "integer", "Seconds to wait for one answer.", default=30, minimum=1),
    **_TLS_FIELDS,
    "collection": _field(
        "Collection",
        "object",
        'Options of the collections that the sync makes, such as {"shard_number": 3, "on_disk": true, '
        '"hnsw": {"m": 32}, "quantization": "int8"}. The full sync applies a change. Empty leaves all to Qdrant.',
    ),
}


def get_provider_info() -> dict[str, Any]:
    """Describe the connection types, in the shape of Airflow's ``provider_info.schema.json``.

    It replaces the types ``qdrant`` and ``postgres`` of Airflow's own providers: their hooks can neither open an
    embedded storage nor say whether migrations have run. Of several packages with the same type Airflow keeps the
    first by name: ``airflow-code-patterns`` sorts before ``apache-airflow-providers-...``. The providers' form fields
    stay, and every other PostgreSQL connection works and is tested as before.
    """
    return {
        "package-name": "airflow-code-patterns",
        "name": "Code patterns",
        "description": "Connections of the code patterns bundle",
        "connection-types": [
            {
                "connection-type": "embedding",
                "hook-class-name": "code_patterns.hooks.embedding.EmbeddingHook",
                "hook-name": "Embedding server",
                "conn-fields": EMBEDDING_FIELDS,
                "ui-field-behaviour": {
                    "hidden-fields": ["login", "extra"],
                    "relabeling": {"password": "API key", "schema": "http or https"},
                    "placeholders": {"host": "localhost", "port": "11434", "schema": "http"},
                },
            },
            {
                "connection-type": "qdrant",
                "hook-class-name": "code_patterns.hooks.qdrant.PatternsQdrantHook",
                "hook-name": "Qdrant",
                "conn-fields": QDRANT_FIELDS,
            },
            {
                "connection-type": "postgres",
                "hook-class-name": "code_patterns.hooks.postgres.PatternsPostgresHook",
                "hook-name": "Postgres",
            },
        ],
    }
