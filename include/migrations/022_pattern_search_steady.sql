-- 022: put new templates into the search index at once, and not on a list that every search reads from end to end.
--
-- The list makes storing many templates faster, but a search took four times as long behind 2,000 single inserts, and
-- the insert that finds the list full has to work it off. Nothing but the index changes; what is on its list moves in.

ALTER INDEX IF EXISTS pattern_template_search_document_idx SET (fastupdate = off);
SELECT gin_clean_pending_list(oid)
FROM pg_class
WHERE oid = to_regclass('pattern_template_search_document_idx');
