-- Count a use of every pattern, as applications do all day.
UPDATE pattern_lineage_nodes
SET
    usage_count = usage_count + 1,
    last_used_at = now();
