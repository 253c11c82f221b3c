-- 019 back (not transactional): removes the index for searching templates, also one left invalid by a broken build.

DROP INDEX CONCURRENTLY IF EXISTS pattern_template_search_document_idx;
