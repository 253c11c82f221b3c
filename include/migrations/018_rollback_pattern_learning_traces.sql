-- 018 back: removes the traces, the search texts and their triggers.
--
-- The traces are lost. The search texts are made anew by the next run of 018. Templates and their events stay.

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
