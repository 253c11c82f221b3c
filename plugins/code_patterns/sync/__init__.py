"""The sync: PostgreSQL rows → plan → embed → Qdrant points → record.

A pattern's way through the modules: ``source`` reads its row, ``pattern`` turns the row into text, payload and
hashes, ``plan`` compares the hashes with what Qdrant holds, ``embed`` gets vectors, ``target`` writes,
``state`` records. ``pipeline`` overlaps the steps; ``runs`` puts them together into the kinds of run.
``verify`` reads both sides whole, and ``collection`` knows which collection stands behind a name.
"""
