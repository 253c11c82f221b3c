"""The run that reads both sides whole, names what differs, and heals exactly that where it is asked to."""

from collections.abc import Sequence

from code_patterns.errors import ConfigurationError, NothingToDoError
from code_patterns.sync.diff import Watermark
from code_patterns.sync.orphans import Points, refuse_mass_delete
from code_patterns.sync.runs.context import RunContext
from code_patterns.sync.runs.full import delete_orphans
from code_patterns.sync.source import Horizon
from code_patterns.sync.sync_result import Progress
from code_patterns.sync.verify import Difference, Flaw, verify, wrong_points


async def verify_everything(run: RunContext, horizon: Horizon) -> None:
    """Compare every row with its whole point.

    :raises NothingToDoError: the run is dry or limited
    :raises ConfigurationError: points are wrong, or the collection was never synced
    """
    if run.settings.dry_run or run.settings.limit:
        raise NothingToDoError("A dry run or a limited run leaves nothing that could be verified.")
    watermark = await run.state.watermark(run.target.collection.identity, horizon)
    if not isinstance(watermark, Watermark):
        raise ConfigurationError(
            f"'{run.settings.collection}' cannot be verified: {watermark}. Run pattern_sync_full first."
        )
    await run.open_history(watermark)
    wrong = await _wrong(run, watermark)
    if wrong and run.settings.heal:
        await _heal(run, wrong, horizon)
        wrong = await _wrong(run, watermark)
    if wrong:
        run.parity = "broken"
        raise wrong_points(run.settings.collection, wrong)
    run.parity = "proven"


async def _wrong(run: RunContext, watermark: Watermark) -> list[Difference]:
    verification = await verify(run.source, run.target, watermark, run.state.dead_letter_ids)
    run.counts.examined = verification.patterns
    run.counts.unchanged = verification.patterns - len(verification.wrong)
    return verification.wrong


async def _heal(run: RunContext, wrong: Sequence[Difference], horizon: Horizon) -> None:
    points = Points(seen=run.counts.examined)
    for difference in wrong:
        if difference.flaw is Flaw.FOREIGN:
            points.add_orphan(difference.id)
    refuse_mass_delete(points, run.counts.examined, run.target.collection.description.points, run.settings)
    mends = run.detector.mends([difference for difference in wrong if difference.flaw is not Flaw.FOREIGN])
    await run.pipeline(horizon).run(mends, Progress(len(wrong)))
    await delete_orphans(run, points)
