-- asyncpg: whether a trace is written already, as after a cancelled COPY whose answer was not awaited.
SELECT EXISTS (
    SELECT
    FROM pattern_learning_traces
    WHERE
        correlation_id = $1::text
        AND recorded_at = $2::timestamptz
        AND node = $3::text
        AND operation = $4::text
        AND duration_ms = $5::double precision
);
