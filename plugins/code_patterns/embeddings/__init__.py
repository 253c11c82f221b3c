"""Texts to vectors: Ollama, any OpenAI-compatible server, or the built-in hashing embedder."""
