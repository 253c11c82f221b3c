-- For schema_facts and sync_capture: the triggers and functions of the current schema, one fact a line.
SELECT
    'trigger ' || replace(pg_get_triggerdef(found.oid, true), '::text', '')
    || CASE found.tgenabled WHEN 'O' THEN '' WHEN 'A' THEN ' (always)' WHEN 'R' THEN ' (replica)' ELSE ' (disabled)' END AS fact
FROM pg_class AS relation
JOIN pg_trigger AS found ON found.tgrelid = relation.oid
WHERE relation.relnamespace = quote_ident(current_schema())::regnamespace AND NOT found.tgisinternal
UNION ALL
SELECT
    'function ' || routine.proname || '(' || pg_get_function_identity_arguments(routine.oid) || ') -> '
    || format_type(routine.prorettype, NULL)
    || CASE WHEN routine.prosecdef THEN ' as its owner' ELSE '' END
    || coalesce(' with ' || replace(array_to_string(routine.proconfig, ', '), quote_ident(current_schema()), '*'), '')
    || ', md5 of its body ' || md5(routine.prosrc)
FROM pg_proc AS routine
WHERE
    routine.pronamespace = quote_ident(current_schema())::regnamespace
    AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = routine.oid AND deptype = 'e')
