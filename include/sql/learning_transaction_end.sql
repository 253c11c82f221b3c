-- asyncpg: what became of a transaction: committed, aborted, in progress, or null if the server no longer knows.
SELECT pg_xact_status($1::text::xid8);
