"""Targets of one database whose collections have the same name, in Qdrants of their own."""

from dataclasses import replace
from pathlib import Path

from code_patterns.sync.sync_target import SyncTarget
from tests.support.two_sides import TwoSides


def namesakes(sides: TwoSides, folder: Path) -> tuple[TwoSides, TwoSides]:
    """Two targets, ``a`` in the given Qdrant and ``b`` in an embedded one.

    :param folder: where the embedded one may be
    """
    other = replace(sides.qdrant, url="", path=str(folder / "qdrant_of_b"))
    return (
        replace(sides, settings={"target": SyncTarget("a")}),
        replace(sides, qdrant=other, settings={"target": SyncTarget("b")}),
    )
