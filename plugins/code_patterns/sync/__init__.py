"""The sync: PostgreSQL rows → diff → embed → Qdrant points → record.

The way of one changed row, in the order in which the modules are met:

1. ``runs`` decides which kind of run it is; ``runs.opening`` connects, resolves the collection and takes the locks.
2. ``runs.incremental`` says what this kind of run does. ``runs.full``, ``runs.interval``, ``runs.shard`` and
   ``runs.verification`` are the other kinds. ``runs.kind`` is the shape of all, ``runs.context`` what they work with.
3. ``source`` reads the row; ``change_detection`` puts it beside its point, and ``diff`` decides what it needs.
   ``pattern`` turns a row into text, payload and hashes.
4. ``pipeline`` cuts the changes into batches: ``embed`` gets vectors, ``target`` writes points.
5. ``record`` saves the batch: ``checkpoint``, ``dead_letters``, and ``history`` for the run as a whole.

The collection: ``collection`` holds all that is known of it, ``resolution`` finds the one that a run is to write,
``publication`` creates it and lets readers see it.

The rest: ``sync_settings`` is what a person chooses, ``sync_result`` what a run tells at its end; ``partition`` cuts a
full sync into the id ranges of shards; ``orphans`` keeps count of points without a pattern; ``verify`` reads both sides
whole; ``streams`` joins pages of both sides; ``stored_point`` reads a point.
"""
