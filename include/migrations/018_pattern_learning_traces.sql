-- 018 (in parts): what the pattern learning storage layer adds: a trace of every operation, and texts to search templates by.
--
-- Existing templates stay as they are and become searchable. The search texts stand in a table of their own, because
-- every usage event updates counters of its template: if the words were indexed beside the counters, every event would
-- write them into the index again. Where pg_trgm may be used, an index for misspelt words is made too.

-- part: traces
CREATE TABLE IF NOT EXISTS pattern_learning_traces (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    node text NOT NULL,
    operation text NOT NULL,
    pattern_id uuid,
    correlation_id text NOT NULL,
    success boolean NOT NULL,
    duration_ms double precision NOT NULL,
    error text,
    quality_before double precision,
    quality_after double precision,
    actor text NOT NULL DEFAULT session_user
);
CREATE INDEX IF NOT EXISTS pattern_learning_traces_recorded_at_idx ON pattern_learning_traces (recorded_at);
CREATE INDEX IF NOT EXISTS pattern_learning_traces_pattern_idx ON pattern_learning_traces (pattern_id, recorded_at);
CREATE INDEX IF NOT EXISTS pattern_learning_traces_correlation_idx ON pattern_learning_traces (correlation_id);
COMMENT ON TABLE pattern_learning_traces IS 'One row per operation of the storage layer while tracing is enabled.';
COMMENT ON COLUMN pattern_learning_traces.id IS 'Identity of the trace, in the order of writing.';
COMMENT ON COLUMN pattern_learning_traces.recorded_at IS 'End of the operation.';
COMMENT ON COLUMN pattern_learning_traces.node IS 'storage, query, update or analytics.';
COMMENT ON COLUMN pattern_learning_traces.operation IS 'Operation that was asked for, whether the node has it or not.';
COMMENT ON COLUMN pattern_learning_traces.pattern_id IS 'Template it was about, if one; it may be deleted by now.';
COMMENT ON COLUMN pattern_learning_traces.correlation_id IS 'Request it belongs to, as the caller gave it.';
COMMENT ON COLUMN pattern_learning_traces.success IS 'Whether it succeeded.';
COMMENT ON COLUMN pattern_learning_traces.duration_ms IS 'Duration in milliseconds, waiting for a connection included.';
COMMENT ON COLUMN pattern_learning_traces.error IS 'Reason of a failure.';
COMMENT ON COLUMN pattern_learning_traces.quality_before IS 'Quality before the use that was recorded.';
COMMENT ON COLUMN pattern_learning_traces.quality_after IS 'Quality after the use that was recorded.';
COMMENT ON COLUMN pattern_learning_traces.actor IS 'Who: the name the tracer was given, else the database role.';

-- part: the table of search texts
CREATE TABLE IF NOT EXISTS pattern_template_search (
    pattern_id uuid PRIMARY KEY REFERENCES pattern_templates (id) ON UPDATE CASCADE ON DELETE CASCADE,
    content text NOT NULL,
    document tsvector NOT NULL
);
COMMENT ON TABLE pattern_template_search IS 'Texts by which templates are found; kept by triggers on pattern_templates.';
COMMENT ON COLUMN pattern_template_search.pattern_id IS 'Template.';
COMMENT ON COLUMN pattern_template_search.content IS
    'Name, description, and the name again with its joined words taken apart, in lower case, one after the other in lines.';
COMMENT ON COLUMN pattern_template_search.document IS
    'Words of name and description, also those joined as in AsyncWriter, and the name''s groups of three characters behind ~.';

-- part: functions
CREATE OR REPLACE FUNCTION pattern_search_apart(joined text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $function$
    SELECT regexp_replace(joined, '([[:lower:][:digit:]])([[:upper:]])', '\1 \2', 'g')
$function$;
COMMENT ON FUNCTION pattern_search_apart(text) IS 'Take words apart that are joined as in AsyncWriter.';

CREATE OR REPLACE FUNCTION pattern_search_words(content text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $function$
    -- The longest word that text search takes has 2046 bytes.
    SELECT coalesce(array_agg(left(word, 100)), '{}')
    FROM string_to_table(regexp_replace(lower(content), '[^[:alnum:]]+', ' ', 'g'), ' ') AS word
    WHERE word <> ''
$function$;
COMMENT ON FUNCTION pattern_search_words(text) IS 'The words of a text: successive letters and digits, in lower case.';

CREATE OR REPLACE FUNCTION pattern_search_grams(content text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $function$
DECLARE
    letters text[] := string_to_array(lower(content), NULL);
BEGIN
    RETURN coalesce((
        SELECT array_agg('~' || first || second || third)
        FROM unnest(letters, letters[2:], letters[3:]) AS row_of_three (first, second, third)
        WHERE third IS NOT NULL
    ), '{}');
END
$function$;
COMMENT ON FUNCTION pattern_search_grams(text) IS
    'All groups of three successive characters, behind ~: a text contains another only if it has all of its groups.';

CREATE OR REPLACE FUNCTION pattern_search_content(pattern_name text, description text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $function$
    SELECT lower($1 || E'\n' || coalesce($2, '') || E'\n' || pattern_search_apart($1))
$function$;
COMMENT ON FUNCTION pattern_search_content(text, text) IS 'The text in which a query''s words must stand.';

CREATE OR REPLACE FUNCTION pattern_search_document(pattern_name text, description text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $function$
DECLARE
    -- A tsvector holds 1 MB: words behind the first 50,000 characters are not found.
    together text := left(pattern_name || ' ' || coalesce(description, ''), 50000);
    apart text := pattern_search_apart(together);
BEGIN
    RETURN array_to_tsvector(
        '{~}' || pattern_search_words(together) || pattern_search_grams(left(pattern_name, 2000))
        || CASE WHEN apart = together THEN '{}' ELSE pattern_search_words(apart) END
    );
END
$function$;
COMMENT ON FUNCTION pattern_search_document(text, text) IS
    'What the index holds of a template; every one holds ~, by which all of them are found.';

CREATE OR REPLACE FUNCTION pattern_search_query(asked text) RETURNS tsquery
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $function$
DECLARE
    term text;
    choices text[];
    terms text[] := ARRAY['~'];
BEGIN
    FOREACH term IN ARRAY regexp_split_to_array(btrim(asked, E' \t\n\r\f\v'), '\s+') LOOP
        -- A term is found where words begin with its words, or in a name that has all of its groups.
        choices := ARRAY[
            (SELECT string_agg(quote_literal(word) || ':*', ' & ') FROM unnest(pattern_search_words(term)) AS word),
            (
                SELECT string_agg(quote_literal(word) || ':*', ' & ')
                FROM unnest(pattern_search_words(pattern_search_apart(term))) AS word
            ),
            -- quote_literal would mark a doubled backslash with an E, which a tsquery does not know.
            (
                SELECT string_agg($$'$$ || replace(replace(gram, '\', '\\'), $$'$$, $$''$$) || $$'$$, ' & ')
                FROM unnest(pattern_search_grams(term)) AS gram
            )
        ];
        -- One of punctuation alone has no words to be found by; the text itself decides.
        IF choices[1] IS NOT NULL THEN
            terms := terms || ('(' || array_to_string(choices, ' | ') || ')');
        END IF;
    END LOOP;
    RETURN array_to_string(terms, ' & ')::tsquery;
END
$function$;
COMMENT ON FUNCTION pattern_search_query(text) IS
    'What a document must hold to be found by a query: every term of it, in one way or another.';

CREATE OR REPLACE FUNCTION pattern_search_similar(asked text)
RETURNS TABLE (pattern_id uuid, similarity real)
LANGUAGE plpgsql AS $function$
DECLARE
    extension_schema text;
BEGIN
    SELECT extnamespace::regnamespace::text INTO extension_schema FROM pg_extension
    WHERE extname = 'pg_trgm' AND has_schema_privilege(extnamespace, 'USAGE');
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- One letter wrong in a word of seven gives 0.62; other words that look alike stay below 0.4.
    PERFORM set_config('pg_trgm.word_similarity_threshold', '0.5', true);
    RETURN QUERY EXECUTE format(
        'SELECT search.pattern_id, %1$s.word_similarity($1, search.content) AS similarity
        FROM pattern_template_search AS search
        WHERE $1 OPERATOR(%1$s.<%%) search.content
        ORDER BY similarity DESC, search.pattern_id
        LIMIT 1000', extension_schema)
    USING pattern_search_apart(asked);
END
$function$;
COMMENT ON FUNCTION pattern_search_similar(text) IS
    'Up to 1000 templates whose text holds words like the ones asked for, likest first; none where pg_trgm is missing or its schema closed.';

CREATE OR REPLACE FUNCTION pattern_template_search_add() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $function$
BEGIN
    INSERT INTO pattern_template_search (pattern_id, content, document)
    SELECT
        id,
        pattern_search_content(pattern_name, description),
        pattern_search_document(pattern_name, description)
    FROM inserted;
    RETURN NULL;
END
$function$;
COMMENT ON FUNCTION pattern_template_search_add() IS 'Make new templates searchable.';

CREATE OR REPLACE FUNCTION pattern_template_search_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $function$
BEGIN
    INSERT INTO pattern_template_search (pattern_id, content, document)
    VALUES (
        NEW.id,
        pattern_search_content(NEW.pattern_name, NEW.description),
        pattern_search_document(NEW.pattern_name, NEW.description)
    )
    ON CONFLICT (pattern_id) DO UPDATE SET content = excluded.content, document = excluded.document;
    RETURN NULL;
END
$function$;
COMMENT ON FUNCTION pattern_template_search_change() IS 'Keep a changed template searchable.';

REVOKE EXECUTE ON FUNCTION pattern_template_search_add() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION pattern_template_search_change() FROM PUBLIC;

DO $pin$
DECLARE
    pinned regprocedure;
BEGIN
    FOR pinned IN
        SELECT oid::regprocedure FROM pg_proc
        WHERE pronamespace = quote_ident(current_schema())::regnamespace
            AND proname IN ('pattern_search_content', 'pattern_search_document', 'pattern_search_query',
                'pattern_search_similar', 'pattern_template_search_add', 'pattern_template_search_change')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', pinned, current_schema());
    END LOOP;
END
$pin$;

-- part: triggers of pattern_templates
CREATE OR REPLACE TRIGGER zz_pattern_templates_search_add
    AFTER INSERT ON pattern_templates
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION pattern_template_search_add();
CREATE OR REPLACE TRIGGER zz_pattern_templates_search_change
    AFTER UPDATE ON pattern_templates
    FOR EACH ROW
    WHEN (
        OLD.pattern_name IS DISTINCT FROM NEW.pattern_name
        OR OLD.description IS DISTINCT FROM NEW.description
    )
    EXECUTE FUNCTION pattern_template_search_change();

-- part (long): the search texts of the templates that exist
DO $texts$
DECLARE
    next uuid := '00000000-0000-0000-0000-000000000000';
    page uuid[];
    free uuid[];
    pause double precision;
    give_up_at timestamptz;
BEGIN
    LOOP
        EXIT WHEN next IS NULL;
        page := ARRAY(SELECT id FROM pattern_templates WHERE id >= next ORDER BY id LIMIT 101);
        next := page[101];
        page := page[:100];
        pause := 0.05;
        give_up_at := clock_timestamp() + interval '5 minutes';
        LOOP
            -- Locked against changes, so that no older text replaces a newer one; few at a time, so that nobody waits for long.
            -- What others have locked is left for later: whoever waits with locks of its own makes others wait too.
            free := ARRAY(SELECT id FROM pattern_templates WHERE id = ANY (page) FOR SHARE SKIP LOCKED);
            INSERT INTO pattern_template_search (pattern_id, content, document)
            SELECT id, pattern_search_content(pattern_name, description), pattern_search_document(pattern_name, description)
            FROM pattern_templates
            WHERE id = ANY (free)
            ON CONFLICT (pattern_id) DO UPDATE SET content = excluded.content, document = excluded.document
            WHERE pattern_template_search.content <> excluded.content;
            COMMIT;
            page := ARRAY(SELECT id FROM pattern_templates WHERE id = ANY (page) AND id <> ALL (free));
            EXIT WHEN page = '{}';
            IF clock_timestamp() >= give_up_at THEN
                RAISE EXCEPTION USING ERRCODE = 'lock_not_available',
                    MESSAGE = format('Template %s of pattern_templates was locked for five minutes.', page[1]);
            END IF;
            PERFORM pg_sleep(pause);
            pause := least(2 * pause, 2);
        END LOOP;
    END LOOP;
END
$texts$;

-- part (each row a statement): the index for misspelt words
SELECT 'note' AS word, 'pg_trgm is not installed: searching templates finds no misspelt words.' AS text
WHERE NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm')
UNION ALL
SELECT 'note', format('pg_trgm is in the schema %s, which this login may not use: searching templates finds no misspelt words. '
    'Grant USAGE on it to this login and to the logins that search, and make the index (docs/pattern_learning.md).',
    extnamespace::regnamespace)
FROM pg_extension
WHERE extname = 'pg_trgm' AND NOT has_schema_privilege(extnamespace, 'USAGE')
UNION ALL
SELECT 'long', 'DROP INDEX CONCURRENTLY ' || indexrelid::regclass
FROM pg_index
WHERE indexrelid = to_regclass('pattern_template_search_similar_idx') AND NOT indisvalid
UNION ALL
SELECT 'long', format('CREATE INDEX CONCURRENTLY IF NOT EXISTS pattern_template_search_similar_idx ON pattern_template_search '
    'USING gin (content %s.gin_trgm_ops)', extnamespace::regnamespace)
FROM pg_extension
WHERE extname = 'pg_trgm' AND has_schema_privilege(extnamespace, 'USAGE');
