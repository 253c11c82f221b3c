-- The digests of the next ranges; few, because each takes PostgreSQL some milliseconds.
FETCH 40 FROM digests;
