-- 018 back (in parts): removes the traces, the search texts and their triggers.
--
-- The traces are lost. The search texts are made anew by the next run of 018. Templates and their events stay.

-- part (each row a statement): what of others depends on what goes
WITH own (classid, oid, name) AS (
    SELECT depended.classid, depended.oid, CASE relkind WHEN 'v' THEN 'view ' ELSE 'table ' END || relname
    FROM pg_class
    CROSS JOIN LATERAL (VALUES ('pg_class'::regclass, pg_class.oid), ('pg_type', reltype)) AS depended (classid, oid)
    WHERE pg_class.oid IN (to_regclass('pattern_template_search'), to_regclass('pattern_learning_traces'))
    UNION ALL
    SELECT 'pg_proc'::regclass, oid, 'function ' || oid::regprocedure
    FROM pg_proc
    WHERE oid IN (
        to_regprocedure('pattern_search_similar(text)'), to_regprocedure('pattern_search_query(text)'),
        to_regprocedure('pattern_search_document(text, text)'), to_regprocedure('pattern_search_content(text, text)'),
        to_regprocedure('pattern_search_grams(text)'), to_regprocedure('pattern_search_words(text)'),
        to_regprocedure('pattern_search_apart(text)')
    )
)

SELECT
    'refuse' AS word,
    format('%s depends on %s, which goes. Drop it first.',
        CASE WHEN viewing.oid IS NULL THEN pg_describe_object(found.classid, found.objid, found.objsubid)
            ELSE CASE viewing.relkind WHEN 'v' THEN 'View ' WHEN 'm' THEN 'Materialized view ' ELSE 'A rule on table ' END
                || viewing.oid::regclass
        END, own.name) AS text
FROM own
JOIN pg_depend AS found ON found.refclassid = own.classid AND found.refobjid = own.oid AND found.deptype = 'n'
LEFT JOIN pg_rewrite AS rule ON found.classid = 'pg_rewrite'::regclass AND rule.oid = found.objid
LEFT JOIN pg_class AS viewing ON viewing.oid = rule.ev_class
-- What is part of one of them goes with it.
WHERE NOT EXISTS (
    SELECT
    FROM own AS whole
    JOIN pg_depend AS belongs ON belongs.refclassid = whole.classid AND belongs.refobjid = whole.oid
    WHERE belongs.classid = found.classid AND belongs.objid = found.objid AND belongs.deptype IN ('a', 'i')
);

-- part: triggers, functions and tables
DROP TRIGGER IF EXISTS zz_pattern_templates_search_add ON pattern_templates;
DROP TRIGGER IF EXISTS zz_pattern_templates_search_change ON pattern_templates;
DROP FUNCTION IF EXISTS pattern_template_search_add();
DROP FUNCTION IF EXISTS pattern_template_search_change();
DROP TABLE IF EXISTS pattern_template_search;
DROP FUNCTION IF EXISTS pattern_search_similar(text);
DROP FUNCTION IF EXISTS pattern_search_query(text);
DROP FUNCTION IF EXISTS pattern_search_document(text, text);
DROP FUNCTION IF EXISTS pattern_search_content(text, text);
DROP FUNCTION IF EXISTS pattern_search_grams(text);
DROP FUNCTION IF EXISTS pattern_search_words(text);
DROP FUNCTION IF EXISTS pattern_search_apart(text);
DROP TABLE IF EXISTS pattern_learning_traces;
