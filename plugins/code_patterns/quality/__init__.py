"""Quality: five dimensions of a pattern and their weighted composite, read from the code's syntax tree.

``score`` is the entry; ``payload`` reads what Qdrant holds, ``reading`` picks a reader for the code
(``python_code``, ``grammar_code`` or ``plain_text``), ``dimensions`` turns what they found into numbers.
``backfill`` scores whole collections: it reads with ``points``, records with ``store`` and tells with ``report``.
The definitions, with every number, stand in ``docs/quality.md``.
"""

from code_patterns.quality.score import VERSION, QualityScore, score_pattern

__all__ = ["VERSION", "QualityScore", "score_pattern"]
