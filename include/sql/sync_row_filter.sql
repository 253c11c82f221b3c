-- For the marks in queries of a target with filters: which code patterns it has. A list that is null allows every value.
-- Only columns whose changes the triggers of migration 015 record. As in payloads, what a row says about its code beats
-- what pattern_data says. As one CASE, because PostgreSQL guesses that such conditions let next to nothing through: it
-- would then read the whole table for each page.
AND CASE
    WHEN
        (
            %(languages)s::text [] IS NULL
            OR coalesce(nullif(language, ''), pattern_data ->> 'language') = any(%(languages)s::text [])
        )
        AND (%(projects)s::text [] IS NULL OR metadata ->> 'project_id' = any(%(projects)s::text []))
        AND (
            %(paths)s::text [] IS NULL
            OR EXISTS (
                SELECT
                FROM unnest(%(paths)s::text []) AS begins (path)
                WHERE starts_with(coalesce(nullif(file_path, ''), pattern_data ->> 'file_path'), begins.path)
            )
        )
        THEN TRUE
    ELSE FALSE
END
