-- asyncpg: the id of this transaction, by which its end can be found out if the answer to COMMIT is lost.
SELECT pg_current_xact_id()::text;
