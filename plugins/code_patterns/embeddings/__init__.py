"""Texts → vectors: by Ollama, an OpenAI-compatible server, a model in this process, or the hashing embedder."""

from code_patterns.embeddings.base import Embedder, EmbeddingConfig
from code_patterns.embeddings.fastembed import FastEmbedder
from code_patterns.embeddings.hashing import HashingEmbedder
from code_patterns.embeddings.ollama import Ollama
from code_patterns.embeddings.openai import OpenAI
from code_patterns.embeddings.remote import RemoteEmbedder
from code_patterns.servers.retry import RetryPolicy


def open_embedder(
    config: EmbeddingConfig, *, retry: RetryPolicy | None = None, token_limit: int | None = None
) -> Embedder:
    """Open the embedder that the configuration names; send nothing yet.

    :param config: which server and model, or ``fastembed`` or ``hashing``
    :param retry: when to give a batch up; default: after five attempts or about a minute
    :param token_limit: the longest text that the server takes, if an earlier run has found it
    """
    if config.api == "hashing":
        return HashingEmbedder(config)
    if config.api == "fastembed":
        return FastEmbedder(config)
    dialect = Ollama() if config.api == "ollama" else OpenAI()
    return RemoteEmbedder(config, dialect, retry or RetryPolicy(), token_limit)
