-- What the schema of new tables holds under the names of the parameter: name, kind, and the word for it in an ALTER statement.
SELECT
    relname,
    relkind::text,
    CASE relkind
        WHEN 'v' THEN 'VIEW'
        WHEN 'm' THEN 'MATERIALIZED VIEW'
        WHEN 'f' THEN 'FOREIGN TABLE'
        WHEN 'S' THEN 'SEQUENCE'
        WHEN 'c' THEN 'TYPE'
        WHEN 'i' THEN 'INDEX'
        WHEN 'I' THEN 'INDEX'
        ELSE 'TABLE'
    END
FROM pg_class
WHERE relnamespace = quote_ident(current_schema())::regnamespace AND relname = ANY (%(names)s::text[]);
