-- 019 (not transactional): the index by which templates are searched, built without blocking writers.

CREATE INDEX CONCURRENTLY IF NOT EXISTS pattern_template_search_document_idx
    ON pattern_template_search USING gin (document);
