"""What a run tells at its end: numbers in XCom, and a table in the log."""

import json
import uuid

from code_patterns.sync.sync_result import Counts, SyncResult
from demo.__main__ import SYNC_COUNTS
from include.deploy.first_sync import SHOWN

RESULT = SyncResult(
    run_id=uuid.UUID(int=1),
    kind="full",
    collection="code_patterns",
    dry_run=False,
    counts=Counts(examined=200, new=150, unchanged=50).as_dict(),
    seconds=4.0,
    embed_seconds=1.0,
    upsert_seconds=0.5,
    parity="proven",
    dead_letters=0,
    lag_seconds=0.0,
    watermark_xid=77,
)


def test_result_is_numbers_in_xcom_and_a_table_in_the_log() -> None:
    xcom = RESULT.as_xcom()
    assert json.loads(json.dumps(xcom)) == xcom
    assert (xcom["new"], xcom["patterns_per_second"], xcom["parity"]) == (150, 50.0, "proven")
    assert "patterns per second  50.0" in RESULT.table()


def test_demo_and_first_sync_read_what_a_result_holds() -> None:
    assert set(SYNC_COUNTS) == Counts().as_dict().keys() - {"embedded_texts"}
    assert set(SHOWN) <= RESULT.as_xcom().keys()
