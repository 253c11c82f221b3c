-- asyncpg: count the events of a template anew.
SELECT update_pattern_stats($1::uuid);
