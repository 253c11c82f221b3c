-- 019 (not transactional): the index by which templates are searched, built without blocking writers.
--
-- fastupdate is off: otherwise new templates wait on a list that every search reads from end to end. That made storing
-- many templates faster, but a search behind 2,000 single inserts took four times as long.

CREATE INDEX CONCURRENTLY IF NOT EXISTS pattern_template_search_document_idx
    ON pattern_template_search USING gin (document) WITH (fastupdate = off);
