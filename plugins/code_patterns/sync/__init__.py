"""The sync: PostgreSQL rows → diff → embed → Qdrant points → record.

``docs/how-a-row-becomes-a-point.md`` shows the way of one changed row through these modules:

1. ``runs`` runs a run. ``runs.opening`` opens the servers, finds the collection, takes the locks and decides where to
   start: at the watermark of the ``checkpoint``, or by comparing everything.
2. ``runs.incremental``, ``runs.full``, ``runs.interval``, ``runs.shard`` and ``runs.verification`` are the kinds.
   ``runs.kind`` is their interface, ``runs.context`` what they work with.
3. ``source`` reads rows, ``stored_points`` reads points, ``change_detection`` compares them, ``diff`` decides what a
   pattern needs. ``pattern`` makes text, payload and hashes of a row.
4. ``pipeline`` cuts the changes into batches: ``embed`` gets vectors, ``target`` writes points.
5. ``record`` parks the ``dead_letters`` of each batch and moves the watermark; ``history`` has a row for each run.

The two sides: ``collection`` is what is known of the collection, ``resolution`` finds it, ``publication`` creates it
and lets readers see it. ``identity`` is which database it belongs to, ``judgement`` decides whether a run can go on
where the last one stopped, ``pairing`` changes the token that both sides hold. ``capture`` checks the triggers.

The rest: ``sync_settings`` are the settings, ``sync_result`` is the result. ``partition`` cuts a full sync into id
ranges. ``orphans`` counts points without a pattern. ``proof``, ``proof_session``, ``proof_levels`` and ``findings``
prove parity; ``digests`` is what they know of id ranges already, and ``expectation`` learns that during a first load.
``streams`` joins pages of both sides.
"""
