"""What a run tells at its end: numbers in XCom, and a table in the log."""

import json
import uuid
from dataclasses import replace
from typing import Any

import pytest

from code_patterns.sync.sync_result import Counts, SyncResult, Waits
from demo.__main__ import SYNC_COUNTS
from include.deploy.first_sync import SHOWN

RESULT = SyncResult(
    run_id=uuid.UUID(int=1),
    kind="full",
    collection="code_patterns",
    dry_run=False,
    counts=Counts(examined=1200, new=150, unchanged=1050).as_dict(),
    seconds=4.0,
    stages=Waits(read=0.2, embed=1.0, upsert=0.5, prove=0.1).as_dict(),
    parity="proven",
    dead_letters=0,
    lag_seconds=0.0,
    behind=0,
    proof_age_seconds=3.0,
    watermark_xid=77,
)


def test_result_is_numbers_in_xcom_and_a_table_in_the_log() -> None:
    xcom = RESULT.as_xcom()
    assert json.loads(json.dumps(xcom)) == xcom
    assert (xcom["new"], xcom["patterns_per_second"], xcom["parity"]) == (150, 300.0, "proven")
    title, *lines = RESULT.table().splitlines()
    assert title == "What the full sync of 'code_patterns' did, run 00000000-0000-0000-0000-000000000001:"
    assert {len(line) for line in lines} == {42}
    assert "  examined                           1,200" in lines
    assert "  patterns per second                300.0" in lines


@pytest.mark.parametrize(
    ("changes", "summary"),
    [
        ({}, "150 new; lag 0 s"),
        (
            {
                "counts": Counts(new=1041, changed=12, payload_only=1, deleted=3, parked=2).as_dict(),
                "dead_letters": 5,
                "lag_seconds": 4.2,
            },
            "1,041 new, 12 changed, 1 with a new payload only, 3 deleted, 2 parked, 5 parked in all; lag 4 s",
        ),
        ({"counts": Counts(examined=3, unchanged=3).as_dict()}, "nothing has changed; lag 0 s"),
        ({"dry_run": True}, "Dry run: 150 new; lag 0 s"),
        ({"kind": "verify", "counts": Counts(examined=7000).as_dict()}, "7,000 compared; lag 0 s"),
    ],
)
def test_the_summary_is_one_line(changes: dict[str, Any], summary: str) -> None:
    assert replace(RESULT, **changes).summary() == summary


def test_demo_and_first_sync_read_what_a_result_holds() -> None:
    assert set(SYNC_COUNTS) == Counts().as_dict().keys() - {"embedded_texts", "embedded_characters"}
    assert set(SHOWN) <= RESULT.as_xcom().keys()
