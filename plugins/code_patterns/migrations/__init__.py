"""Bring the patterns database to a version of its schema, and back.

:mod:`files` reads the migrations, :mod:`planning` decides which of them to run, :mod:`runner` runs them on one
:mod:`session`, :mod:`ledger` remembers what was run and :mod:`code_patterns.schema` checks what came of it.
"""
