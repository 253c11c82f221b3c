-- asyncpg: templates with every word of a query in their name or description, best first. Columns and conditions come
-- in at the marks. The index finds what may have the words; whether they stand there as asked for is seen in the text.
-- Templates with every word in their name come before all others and are far fewer: parameter 5 asks for them alone.
WITH asked AS (
    SELECT lower($3::text) AS whole, ARRAY(SELECT lower(word) FROM unnest($4::text[]) AS word) AS words
)

SELECT
    template.id /* template columns */,
    CASE
        WHEN lower(template.pattern_name) = asked.whole THEN 1.0
        WHEN starts_with(lower(template.pattern_name), asked.whole) THEN 0.9
        -- The third line of the text is the name with its joined words taken apart.
        WHEN position(' ' || asked.whole IN translate(split_part(search.content, E'\n', 3), '_-./:', '     ')) > 0 THEN 0.8
        WHEN position(asked.whole IN lower(template.pattern_name)) > 0 THEN 0.7
        WHEN NOT EXISTS (
            SELECT FROM unnest(asked.words) AS word WHERE position(word IN lower(template.pattern_name)) = 0
        ) THEN 0.6
        WHEN EXISTS (
            SELECT FROM unnest(asked.words) AS word WHERE position(word IN lower(template.pattern_name)) > 0
        ) THEN 0.5
        WHEN position(asked.whole IN lower(template.description)) > 0 THEN 0.4
        ELSE 0.3
    END::double precision AS relevance
FROM asked
CROSS JOIN pattern_template_search AS search
JOIN pattern_templates AS template ON template.id = search.pattern_id
WHERE
    -- In a SELECT of its own, so that it is made once and not for every row that is looked at again.
    search.document @@ (
        SELECT CASE WHEN $5::boolean THEN (
            SELECT string_agg($$'$$ || replace(replace(gram, '\', '\\'), $$'$$, $$''$$) || $$'$$, ' & ')::tsquery
            FROM unnest($4::text[]) AS word
            CROSS JOIN LATERAL unnest(pattern_search_grams(word)) AS gram
        ) ELSE pattern_search_query($3::text) END
    )
    AND NOT EXISTS (SELECT FROM unnest(asked.words) AS word WHERE position(word IN search.content) = 0)
    AND (
        NOT $5::boolean
        OR NOT EXISTS (SELECT FROM unnest(asked.words) AS word WHERE position(word IN lower(template.pattern_name)) = 0)
    )
    AND /* conditions */ true
ORDER BY
    relevance DESC,
    template.confidence_score DESC NULLS LAST,
    template.usage_count DESC NULLS LAST,
    template.pattern_name,
    template.id
LIMIT $1::bigint OFFSET $2::bigint;
