-- 022 back: lets new templates wait on the list of the search index again.

ALTER INDEX IF EXISTS pattern_template_search_document_idx RESET (fastupdate);
