-- 020 back: counts the events of a template from the start at each of them, as migration 001 does, and removes the counters.
--
-- Templates and their events stay; the counters are made anew by going up again. Deletions and changes of events no
-- longer reach the templates: call update_pattern_stats after them.

DROP TRIGGER IF EXISTS zz_pattern_usage_events_update_stats_of_changed ON pattern_usage_events;
DROP TRIGGER IF EXISTS zz_pattern_usage_events_update_stats_of_deleted ON pattern_usage_events;
DROP TRIGGER IF EXISTS zz_pattern_usage_events_update_stats_of_truncated ON pattern_usage_events;

CREATE OR REPLACE FUNCTION update_pattern_stats(pattern_id uuid) RETURNS void
LANGUAGE plpgsql AS $function$
BEGIN
    -- The lock makes concurrent events of one template count one after the other: the UPDATE below then reads with
    -- a snapshot taken after the other transaction has committed. NO KEY: the events' foreign key checks hold KEY SHARE.
    PERFORM FROM pattern_templates AS template
    WHERE template.id = update_pattern_stats.pattern_id
    FOR NO KEY UPDATE;

    UPDATE pattern_templates AS template
    SET usage_count = events.usage_count,
        success_rate = coalesce(events.success_rate, template.success_rate),
        last_used_at = coalesce(events.last_used_at, template.last_used_at)
    FROM (
        SELECT count(*) AS usage_count,
               avg(event.success::int)::double precision AS success_rate,
               max(event.used_at) AS last_used_at
        FROM pattern_usage_events AS event
        WHERE event.pattern_id = update_pattern_stats.pattern_id
    ) AS events
    WHERE template.id = update_pattern_stats.pattern_id;
END
$function$;

CREATE OR REPLACE FUNCTION pattern_usage_events_update_stats() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $function$
DECLARE
    used_pattern uuid;
BEGIN
    -- In order, so that two statements about the same templates wait for one another instead of deadlocking.
    FOR used_pattern IN SELECT DISTINCT pattern_id FROM inserted ORDER BY pattern_id LOOP
        PERFORM update_pattern_stats(used_pattern);
    END LOOP;
    RETURN NULL;
END
$function$;
COMMENT ON FUNCTION pattern_usage_events_update_stats() IS NULL;

DO $pin$
DECLARE
    pinned regprocedure;
BEGIN
    FOR pinned IN
        SELECT oid::regprocedure FROM pg_proc
        WHERE pronamespace = quote_ident(current_schema())::regnamespace
            AND proname IN ('update_pattern_stats', 'pattern_usage_events_update_stats')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', pinned, current_schema());
    END LOOP;
END
$pin$;

DROP FUNCTION IF EXISTS pattern_usage_recount(uuid);
DROP TABLE IF EXISTS pattern_template_usage;
