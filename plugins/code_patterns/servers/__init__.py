"""How PostgreSQL, Qdrant and servers behind HTTP are reached: the one place that opens, retries and explains."""
