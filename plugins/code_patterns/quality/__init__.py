"""Quality: five dimensions of a pattern and their weighted composite, from the code's syntax tree.

``score`` scores one pattern: ``payload`` reads its payload, ``parsing`` chooses a parser for the code (``python_code``,
``grammar_code`` or ``plain_text``), and ``dimensions`` turns the analysis into numbers. ``backfill`` scores whole
collections: it reads with ``points``, scores in a ``scoring_process``, stores with ``store`` and counts with
``backfill_result``. ``docs/quality.md`` defines every number.
"""

from code_patterns.quality.score import VERSION, QualityScore, score_pattern, version_of

__all__ = ["VERSION", "QualityScore", "score_pattern", "version_of"]
