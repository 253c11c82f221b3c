-- The server process of this session, to be compared with the one that the server named when the session started.
SELECT pg_backend_pid();
