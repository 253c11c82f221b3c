"""The sync: PostgreSQL rows → diff → embed → Qdrant points → record.

``docs/how-a-row-becomes-a-point.md`` shows the way of one changed row through these modules:

1. ``runs`` chooses the kind of run and runs it. ``runs.opening`` opens the servers, finds the collection and takes the
   locks.
2. ``runs.incremental``, ``runs.full``, ``runs.interval``, ``runs.shard`` and ``runs.verification`` are the kinds.
   ``runs.kind`` is their interface, ``runs.context`` what they work with.
3. ``source`` reads rows, ``change_detection`` compares them with points, ``diff`` decides what a pattern needs.
   ``pattern`` makes text, payload and hashes of a row.
4. ``pipeline`` cuts the changes into batches: ``embed`` gets vectors, ``target`` writes points.
5. ``record`` saves each batch: ``checkpoint`` and ``dead_letters``; ``history`` has a row for each run.

The two sides: ``collection`` is what is known of the collection, ``resolution`` finds it, ``publication`` creates it
and lets readers see it. ``identity`` is which database it belongs to, ``judgement`` decides whether a run can go on
where the last one stopped, ``pairing`` changes the token that both sides hold. ``capture`` checks the triggers.

The rest: ``sync_settings`` are the settings, ``sync_result`` is the result. ``partition`` cuts a full sync into id
ranges. ``orphans`` counts points without a pattern. ``proof``, ``proof_session``, ``proof_levels`` and ``findings``
prove parity. ``streams`` joins pages of both sides; ``stored_point`` reads a point.
"""
