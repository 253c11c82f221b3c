-- The clock that decides what is old: one for all workers.
SELECT now();
