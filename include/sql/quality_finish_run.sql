-- Close a run in the history with what it found.
UPDATE pattern_quality_runs
SET
    status = %(status)s,
    finished_at = now(),
    found = %(found)s,
    skipped = %(skipped)s,
    scored = %(scored)s,
    stored = %(stored)s,
    failed = %(failed)s,
    excellent = %(excellent)s,
    good = %(good)s,
    fair = %(fair)s,
    poor = %(poor)s,
    average_score = %(average_score)s,
    details = %(details)s,
    note = %(note)s,
    error = %(error)s
WHERE id = %(id)s;
