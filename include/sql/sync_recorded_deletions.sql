-- How many of these ids a row had whose deletion was recorded and is still known.
SELECT count(DISTINCT node_id)
FROM pattern_sync_tombstones
WHERE node_id = any(%(ids)s::uuid []);
