-- 018 back: removes the traces and the search texts with their triggers, and gives pattern_templates its indexes back.
--
-- Lost with it: the traces. The search texts are made anew by going up again. Templates and their events stay.

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

DROP INDEX IF EXISTS pattern_templates_top_idx;
DROP INDEX IF EXISTS pattern_templates_confidence_idx;
CREATE INDEX IF NOT EXISTS pattern_templates_ranking_idx
    ON pattern_templates (usage_count DESC, success_rate DESC) WHERE NOT is_deprecated;

DO $trigram$
DECLARE
    extension_schema text;
BEGIN
    SELECT extnamespace::regnamespace::text INTO extension_schema FROM pg_extension WHERE extname = 'pg_trgm';
    IF FOUND THEN
        EXECUTE format('CREATE INDEX IF NOT EXISTS pattern_templates_search_idx ON pattern_templates USING gin '
            '(pattern_name %1$s.gin_trgm_ops, description %1$s.gin_trgm_ops)', extension_schema);
    END IF;
END
$trigram$;
