-- Who is logged in where, and whether the patterns can be read.
SELECT
    current_setting('server_version'),
    current_user,
    to_regclass('pattern_lineage_nodes') IS NOT NULL,
    coalesce(has_table_privilege(to_regclass('pattern_lineage_nodes'), 'SELECT'), false);
