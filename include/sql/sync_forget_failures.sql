-- Drop the parked failures of a collection that no run follows any more.
DELETE FROM pattern_sync_failures
WHERE collection = %(collection)s;
