-- 014 back: allows several scores per pattern again. Duplicates that 014 removed do not come back.

ALTER TABLE pattern_quality_metrics DROP CONSTRAINT IF EXISTS pattern_quality_metrics_pattern_id_unique;
