"""A grammar that ends or holds its process costs one pattern its parser, and no other pattern and no task anything."""

import asyncio
import os
import signal
import uuid
from pathlib import Path
from typing import Any

import pytest

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.quality import QualityScore, score_pattern
from code_patterns.quality.backfill import backfill
from code_patterns.quality.backfill_settings import BackfillSettings
from code_patterns.quality.points import pattern_id_of
from code_patterns.quality.scoring_process import TOGETHER, ScoringProcess
from code_patterns.run_identity import RunIdentity
from tests.integration.quality.test_quality_backfill import put, real_points, stored
from tests.support.two_sides import TwoSides

BASH = {"code": "f() {\n  a=$(g 1)\n  h | k > $a\n}", "language": "bash"}
PYTHON = {"code": "def f(x):\n    return x * 2 + 1", "language": "python"}
FAULTS = {
    "crashes": "import os, signal\ndef language():\n    os.kill(os.getpid(), signal.SIGSEGV)\n",
    "hangs": "def language():\n    while True:\n        pass\n",
    "exits": "import os\ndef language():\n    os._exit(3)\n",
}
REASONS = {
    "crashes": "the parser ended its process (SIGSEGV)",
    "hangs": "the parser found no end",
    "exits": "the parser ended its process (exit code 3)",
}


@pytest.fixture(params=sorted(FAULTS))
def fault(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give processes that are started from now on a grammar of Bash that has this fault."""
    tmp_path.joinpath("tree_sitter_bash.py").write_text(FAULTS[request.param])
    inherited = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, [inherited])]))
    return str(request.param)


def scores_of(payloads: list[Any], onex_weight: float = 0.2) -> list[QualityScore]:
    async def score() -> list[QualityScore]:
        async with ScoringProcess.open(onex_weight, seconds=1) as scoring:
            return await scoring.score(payloads)

    return asyncio.run(score())


def test_the_scores_are_those_of_this_process() -> None:
    payloads = [*real_points(2 * TOGETHER + 1).values(), None, BASH, {"code": "\ud800", "a": 2**70}]
    assert scores_of(payloads) == [score_pattern(payload) for payload in payloads]
    assert scores_of([PYTHON], 0.0) == [score_pattern(PYTHON, 0.0)]
    assert scores_of([]) == []


def test_a_fault_of_a_grammar_costs_one_pattern_its_parser(fault: str) -> None:
    before, culprit, after = scores_of([PYTHON, BASH, PYTHON])
    assert before == after == score_pattern(PYTHON)
    assert (culprit.reading.parser, culprit.reading.language) == ("text", "bash")
    assert culprit.reading.reason == REASONS[fault]
    assert culprit.completeness > 0.5


def test_a_backfill_survives_a_fault_and_says_which_pattern(sides: TwoSides, fault: str) -> None:
    points = real_points(12)
    name = put(sides, "archon_vectors", {**points, 7: BASH})
    # The long limit of a real run would make this test long.
    settings = BackfillSettings((name,), batch_size=5, delay_seconds=0.0)
    original = ScoringProcess.open.__func__  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScoringProcess, "open", classmethod(lambda cls, weight: original(cls, weight, 1)))
        result = asyncio.run(backfill(sides.as_sync, sides.qdrant, settings, RunIdentity(uuid.uuid4())))
    assert (result.found, result.stored, result.failed) == ({name: 13}, 13, 0)
    found = {key: row[3] for key, row in stored(sides).items()}
    assert found[pattern_id_of(7)]["fallback_reason"] == REASONS[fault]
    assert all(found[pattern_id_of(key)]["parser"] == "ast" for key in points)


@pytest.mark.remedy(Code.PACKAGE_MISSING)
def test_a_process_that_does_not_start_is_told_and_nothing_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.joinpath("tree_sitter.py").write_text("raise ImportError('no wheel for this machine')\n")
    with monkeypatch.context() as broken:
        broken.setenv("PYTHONPATH", str(tmp_path))
        with pytest.raises(ConfigurationError, match="The process that scores does not start"):
            scores_of([PYTHON])
    assert len(scores_of([PYTHON])) == 1


def test_no_process_is_left_behind() -> None:
    async def score() -> int:
        async with ScoringProcess.open(0.2) as scoring:
            await scoring.score([PYTHON])
            assert scoring._process is not None
            return scoring._process.pid

    pid = asyncio.run(score())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
