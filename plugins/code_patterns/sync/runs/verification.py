"""The verification: compare both sides whole, name what differs, heal it on demand."""

import logging

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.sync.agreed_points import AgreedPoints
from code_patterns.sync.diff import LAST_ID, Watermark
from code_patterns.sync.findings import Findings, Flaw
from code_patterns.sync.orphans import HEALING, Points, refuse_mass_delete
from code_patterns.sync.proof import Proof
from code_patterns.sync.proof_levels import WholeLevel
from code_patterns.sync.runs.context import RunContext
from code_patterns.sync.runs.full import delete_orphans, refuse_lost_tables
from code_patterns.sync.runs.kind import RunKind
from code_patterns.sync.source import LOOKUP_ROWS

log = logging.getLogger(__name__)


class VerificationRun(RunKind):
    """Compares every row with its whole point."""

    name = "verify"
    creates = False
    starts_at_watermark = True
    # It names a point that was lost, the one written last among them, instead of refusing to look.
    asks_witness = False
    named_dead_letters = 200

    async def execute(self, run: RunContext) -> None:
        """Verify everything.

        :raises ConfigurationError: points are wrong
        """
        found = await _look(run)
        if found.wrong and run.settings.heal:
            await _heal(run, found)
            found = await _look(run)
        if found.wrong:
            run.parity = "broken"
            raise _wrong_points(run.settings.collection, found)
        if found.patterns:
            run.parity = "proven"
        else:
            await refuse_lost_tables(run)


async def _look(run: RunContext) -> Findings:
    points = AgreedPoints(run.qdrant, run.collection, strict=True)
    digests = await run.record.digests(run.collection)
    due = digests.due(run.settings.nights, await run.record.verified_since(run.identity))
    if len(due) < len(digests):
        log.info("Reading %s of %s ranges of ids whole, the others by their digests.", len(due), len(digests))
    proof = Proof(await run.proof_session(), points, WholeLevel(points), digests, run.record.keep, due)
    with run.stages.measured("prove") as note:
        found = await proof.findings(_waiting_from(run.start))
        note(patterns=found.patterns, wrong=found.wrong)
    run.counts.examined = found.patterns
    run.counts.unchanged = found.patterns - found.wrong - found.moving - len(found.parked)
    return found


def _waiting_from(watermark: Watermark) -> int:
    """The first transaction whose changes wait for the next sync."""
    return watermark.xid + 1 if watermark.id == LAST_ID else watermark.xid


async def _heal(run: RunContext, found: Findings) -> None:
    for flaw, count in found.counts().items():
        if flaw is not Flaw.FOREIGN:
            await run.pipeline.run(run.detector.mends(found.of(flaw).pages(LOOKUP_ROWS), flaw), count)
    points = Points(seen=found.points, foreign=list(found.integers))
    for ids in found.of(Flaw.FOREIGN).pages():
        for node_id in ids:
            points.add_orphan(node_id)
    # Last: a deletion that waits for a person must not leave the other points wrong.
    refuse_mass_delete(
        points,
        found.rows,
        run.collection.description.points,
        run.settings,
        done=f"Other wrong points that were written again: {run.counts.written}. Nothing was deleted.",
        remedy=HEALING,
    )
    await delete_orphans(run, points)


def _wrong_points(name: str, found: Findings) -> ConfigurationError:
    """Say how many points are wrong, how, and what to do."""
    told = "; ".join(f"{count} {flaw.value}" for flaw, count in found.counts().items())
    return ConfigurationError(
        Code.POINTS_WRONG,
        f"{found.wrong} points of '{name}' are not as PostgreSQL wants them: {told}. For example {found.examples(10)}; "
        "the log above names more. Run pattern_verify with the Param heal to write exactly these again.",
    )
