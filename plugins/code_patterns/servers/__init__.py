"""How PostgreSQL, Qdrant and HTTP servers are reached: configuration, opening, retries, locks, errors."""
