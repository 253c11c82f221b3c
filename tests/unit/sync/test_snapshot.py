"""Snapshots and the changes between two of them, for every order in which transactions begin and end."""

from unittest.mock import patch
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_patterns.sync import snapshot as snapshot_module
from code_patterns.sync.diff import FIRST_ID, LAST_ID, Watermark
from code_patterns.sync.snapshot import NOTHING, Snapshot, Span

XIDS = st.integers(min_value=100, max_value=112)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """A snapshot as PostgreSQL writes it: its xmin is open, and so are the ids that it lists."""
    xmin = draw(XIDS)
    xmax = draw(st.integers(min_value=xmin, max_value=113))
    between = sorted(draw(st.sets(st.integers(min_value=xmin, max_value=xmax - 1)))) if xmax > xmin else []
    still_open = [xmin, *(xid for xid in between if xid != xmin)] if xmax > xmin else []
    return Snapshot(f"{xmin}:{xmax}:{','.join(map(str, still_open))}")


def test_what_a_snapshot_sees() -> None:
    snapshot = Snapshot("100:105:100,103")
    assert [xid for xid in range(98, 108) if snapshot.sees(xid)] == [98, 99, 101, 102, 104]
    assert snapshot.watermark == Watermark(99, LAST_ID)
    assert [xid for xid in range(98, 108) if Snapshot.before(105).sees(xid)] == list(range(98, 105))
    assert not any(NOTHING.sees(xid) for xid in (1, 3, 2**40))


@given(snapshots(), XIDS)
def test_all_below_the_horizon_is_over(snapshot: Snapshot, xid: int) -> None:
    assert snapshot.sees(xid) or xid >= snapshot.horizon


@given(snapshots(), snapshots(), XIDS, st.sampled_from([FIRST_ID, UUID(int=7), LAST_ID]))
def test_a_span_holds_what_is_new_and_moves_only_below_the_horizon(
    seen: Snapshot, until: Snapshot, xid: int, node_id: UUID
) -> None:
    change = Watermark(xid, node_id)
    span = Span(Watermark(105, UUID(int=7)), until, seen)
    assert span.holds(change) == (change > span.after and until.sees(xid) and not seen.sees(xid))
    assert span.moves_to(change) == (change if xid < until.horizon else None)


@pytest.mark.parametrize("xid", [1, 100])
def test_a_span_without_an_earlier_snapshot_is_decided_by_the_watermark(xid: int) -> None:
    span = Span(Watermark(0, FIRST_ID), Snapshot.before(101))
    assert span.holds(Watermark(xid, FIRST_ID))


@given(snapshots(), snapshots(), st.sampled_from([100, 105, 111]), st.sampled_from([0, 1, 3]))
def test_the_parts_of_a_span_hold_together_what_it_holds_once_and_in_order(
    seen: Snapshot, until: Snapshot, after: int, near: int
) -> None:
    span = Span(Watermark(after, UUID(int=7)), until, seen)
    ids = [FIRST_ID, UUID(int=8), LAST_ID]
    found = []
    with patch.object(snapshot_module, "NEAR_XIDS", near):
        for part in span.parts():
            assert part.before is not None
            found += [
                change
                for xid in range(98, 116)
                for change in (Watermark(xid, node_id) for node_id in ids)
                if xid < part.before and part.holds(change)
            ]
    everything = [Watermark(xid, node_id) for xid in range(98, 116) for node_id in ids]
    assert found == [change for change in everything if span.holds(change)]


def test_what_was_seen_behind_an_open_transaction_is_no_part_of_a_span() -> None:
    seen, until = Snapshot("100:500000:100,499998,499999"), Snapshot("100:500010:100")
    parts = list(Span(Watermark(99, LAST_ID), until, seen).parts())
    assert [(part.after, part.before) for part in parts] == [
        (Watermark(99, LAST_ID), 101),
        (Watermark(499_997, LAST_ID), 500_010),
    ]
