-- 020: add up the use of templates from what changes, instead of counting all events of a template at each of them.
--
-- Migration 001 counted every event of a template again whenever one was recorded, which took longer with each of them.
-- Now pattern_template_usage keeps what usage_count and success_rate are made of, and triggers add to it what an insert,
-- an update, a deletion or a truncation of events changes. update_pattern_stats still counts anew, and gives the same.
--
-- Adopts what is there. The counters are filled from the events; the templates stay as they are. One whose usage_count,
-- success_rate or last_used_at never agreed with its events keeps them until its next event, as with migration 001, and
-- tells of its events from then on. Events written with triggers switched off are not counted until update_pattern_stats
-- is called for their templates. Filling reads every event once; writers of events wait for it.

CREATE TABLE IF NOT EXISTS pattern_template_usage (
    pattern_id uuid PRIMARY KEY REFERENCES pattern_templates (id) ON DELETE CASCADE,
    events bigint NOT NULL,
    known bigint NOT NULL,
    successes bigint NOT NULL
);
COMMENT ON TABLE pattern_template_usage IS
    'What usage_count and success_rate of templates are made of; kept by triggers on pattern_usage_events.';
COMMENT ON COLUMN pattern_template_usage.pattern_id IS 'Template; one without a row was never used.';
COMMENT ON COLUMN pattern_template_usage.events IS 'Its usage events.';
COMMENT ON COLUMN pattern_template_usage.known IS 'Those with a known outcome.';
COMMENT ON COLUMN pattern_template_usage.successes IS 'Those that succeeded.';

CREATE OR REPLACE FUNCTION pattern_usage_recount(counted_pattern uuid) RETURNS SETOF pattern_template_usage
LANGUAGE sql VOLATILE SECURITY DEFINER AS $function$
    INSERT INTO pattern_template_usage (pattern_id, events, known, successes)
    SELECT
        template.id,
        count(event.id),
        count(event.success),
        count(*) FILTER (WHERE event.success)
    FROM pattern_templates AS template
    LEFT JOIN pattern_usage_events AS event ON event.pattern_id = template.id
    WHERE template.id = counted_pattern
    GROUP BY template.id
    ON CONFLICT (pattern_id) DO UPDATE SET
        events = excluded.events,
        known = excluded.known,
        successes = excluded.successes
    RETURNING *
$function$;
COMMENT ON FUNCTION pattern_usage_recount(uuid) IS
    'Count the events of a template anew. Whoever calls it holds the lock of the template, as update_pattern_stats does.';

CREATE OR REPLACE FUNCTION update_pattern_stats(pattern_id uuid) RETURNS void
LANGUAGE plpgsql AS $function$
BEGIN
    -- The lock makes concurrent events of one template count one after the other: the statement below then reads with
    -- a snapshot taken after the other transaction has committed. NO KEY: the events' foreign key checks hold KEY SHARE.
    PERFORM FROM pattern_templates AS template
    WHERE template.id = update_pattern_stats.pattern_id
    FOR NO KEY UPDATE;

    UPDATE pattern_templates AS template
    SET usage_count = usage.events,
        success_rate = coalesce(usage.successes::double precision / nullif(usage.known, 0), template.success_rate),
        last_used_at = coalesce(
            (SELECT max(event.used_at) FROM pattern_usage_events AS event WHERE event.pattern_id = template.id),
            template.last_used_at)
    FROM pattern_usage_recount(update_pattern_stats.pattern_id) AS usage
    WHERE template.id = usage.pattern_id;
END
$function$;

CREATE OR REPLACE FUNCTION pattern_usage_events_update_stats() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $function$
DECLARE
    changes pattern_template_usage[];
    patterns uuid[];
BEGIN
    CASE TG_OP
        WHEN 'INSERT' THEN
            SELECT array_agg(change::pattern_template_usage) INTO changes
            FROM (
                SELECT pattern_id, count(*), count(success), count(*) FILTER (WHERE success)
                FROM inserted
                GROUP BY pattern_id
            ) AS change;
        WHEN 'DELETE' THEN
            SELECT array_agg(change::pattern_template_usage) INTO changes
            FROM (
                SELECT pattern_id, -count(*), -count(success), -count(*) FILTER (WHERE success)
                FROM removed
                GROUP BY pattern_id
            ) AS change;
        WHEN 'UPDATE' THEN
            SELECT array_agg(change::pattern_template_usage) INTO changes
            FROM (
                SELECT
                    pattern_id,
                    sum(sign)::bigint,
                    coalesce(sum(sign) FILTER (WHERE success IS NOT NULL), 0)::bigint,
                    coalesce(sum(sign) FILTER (WHERE success), 0)::bigint
                FROM (
                    SELECT 1 AS sign, pattern_id, success, used_at FROM inserted
                    UNION ALL
                    SELECT -1, pattern_id, success, used_at FROM removed
                ) AS either
                GROUP BY pattern_id
                -- What else an event tells does not concern its template.
                HAVING sum(sign) <> 0
                    OR sum(sign) FILTER (WHERE success IS NOT NULL) <> 0
                    OR sum(sign) FILTER (WHERE success) <> 0
                    OR max(used_at) FILTER (WHERE sign = 1) IS DISTINCT FROM max(used_at) FILTER (WHERE sign = -1)
            ) AS change;
        WHEN 'TRUNCATE' THEN
            SELECT array_agg(change::pattern_template_usage) INTO changes
            FROM (
                SELECT pattern_id, -events, -known, -successes
                FROM pattern_template_usage
                WHERE events <> 0
            ) AS change;
    END CASE;
    IF changes IS NULL THEN
        RETURN NULL;
    END IF;

    -- The lock of update_pattern_stats, for the same reason. In order, so that two statements about the same templates
    -- wait for one another instead of deadlocking.
    patterns := ARRAY(SELECT change.pattern_id FROM unnest(changes) AS change);
    PERFORM FROM pattern_templates AS template
    WHERE template.id = ANY (patterns)
    ORDER BY template.id
    FOR NO KEY UPDATE;

    -- Joined, because the events of a template that is being deleted go after it.
    INSERT INTO pattern_template_usage AS usage (pattern_id, events, known, successes)
    SELECT change.pattern_id, change.events, change.known, change.successes
    FROM unnest(changes) AS change
    JOIN pattern_templates AS template ON template.id = change.pattern_id
    ON CONFLICT (pattern_id) DO UPDATE SET
        events = usage.events + excluded.events,
        known = usage.known + excluded.known,
        successes = usage.successes + excluded.successes;

    UPDATE pattern_templates AS template
    -- Events written with triggers switched off can be missing from the counters: removing them is no error.
    SET usage_count = greatest(usage.events, 0),
        success_rate = CASE
            WHEN usage.known > 0 AND usage.successes BETWEEN 0 AND usage.known
            THEN usage.successes::double precision / usage.known
            ELSE template.success_rate
        END,
        last_used_at = coalesce(
            (SELECT max(event.used_at) FROM pattern_usage_events AS event WHERE event.pattern_id = template.id),
            template.last_used_at)
    FROM pattern_template_usage AS usage
    WHERE template.id = ANY (patterns)
        AND usage.pattern_id = template.id;
    RETURN NULL;
END
$function$;
COMMENT ON FUNCTION pattern_usage_events_update_stats() IS
    'Add what a statement changed in the events to the counters of their templates, and show them there.';

DO $pin$
DECLARE
    pinned regprocedure;
BEGIN
    FOR pinned IN
        SELECT oid::regprocedure FROM pg_proc
        WHERE pronamespace = quote_ident(current_schema())::regnamespace
            AND proname IN ('pattern_usage_recount', 'update_pattern_stats', 'pattern_usage_events_update_stats')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', pinned, current_schema());
    END LOOP;
END
$pin$;
-- Plans for the very arrays of a call take longer to make than to carry out.
ALTER FUNCTION pattern_usage_events_update_stats() SET plan_cache_mode = force_generic_plan;

CREATE OR REPLACE TRIGGER zz_pattern_usage_events_update_stats_of_changed
    AFTER UPDATE ON pattern_usage_events
    REFERENCING OLD TABLE AS removed NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION pattern_usage_events_update_stats();
CREATE OR REPLACE TRIGGER zz_pattern_usage_events_update_stats_of_deleted
    AFTER DELETE ON pattern_usage_events
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION pattern_usage_events_update_stats();
CREATE OR REPLACE TRIGGER zz_pattern_usage_events_update_stats_of_truncated
    AFTER TRUNCATE ON pattern_usage_events
    FOR EACH STATEMENT EXECUTE FUNCTION pattern_usage_events_update_stats();

-- The triggers' lock keeps writers of events out until this has committed.
INSERT INTO pattern_template_usage (pattern_id, events, known, successes)
SELECT pattern_id, count(*), count(success), count(*) FILTER (WHERE success)
FROM pattern_usage_events
GROUP BY pattern_id
ON CONFLICT (pattern_id) DO UPDATE SET
    events = excluded.events,
    known = excluded.known,
    successes = excluded.successes;
