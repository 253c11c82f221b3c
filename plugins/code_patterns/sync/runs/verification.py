"""The run that reads both sides whole, names what differs, and heals exactly that where it is asked to."""

from collections.abc import Sequence

from code_patterns.sync.orphans import Points, refuse_mass_delete
from code_patterns.sync.runs.context import RunContext
from code_patterns.sync.runs.full import delete_orphans
from code_patterns.sync.runs.kind import RunKind
from code_patterns.sync.verify import Difference, Flaw, verify, wrong_points


class VerificationRun(RunKind):
    """Compares every row with its whole point."""

    name = "verify"
    creates = False
    starts_at_watermark = True

    async def execute(self, run: RunContext) -> None:
        """Verify everything.

        :raises ConfigurationError: points are wrong
        """
        wrong = await _wrong(run)
        if wrong and run.settings.heal:
            await _heal(run, wrong)
            wrong = await _wrong(run)
        if wrong:
            run.parity = "broken"
            raise wrong_points(run.settings.collection, wrong)
        run.parity = "proven"


async def _wrong(run: RunContext) -> list[Difference]:
    verification = await verify(run.source, run.target, run.start, run.record.dead_letters.ids)
    run.counts.examined = verification.patterns
    run.counts.unchanged = verification.patterns - len(verification.wrong)
    return verification.wrong


async def _heal(run: RunContext, wrong: Sequence[Difference]) -> None:
    points = Points(seen=run.counts.examined)
    for difference in wrong:
        if difference.flaw is Flaw.FOREIGN:
            points.add_orphan(difference.id)
    refuse_mass_delete(points, run.counts.examined, run.collection.description.points, run.settings)
    mends = run.detector.mends([difference for difference in wrong if difference.flaw is not Flaw.FOREIGN])
    await run.apply(mends, len(wrong))
    await delete_orphans(run, points)
