"""Change the progress token that both sides hold, so that an exchange of either is noticed."""

from code_patterns.sync.identity import DatabaseIdentity, next_token
from code_patterns.sync.publication import note_progress
from code_patterns.sync.record import RunRecord
from code_patterns.sync.target import PatternTarget


class Pairing:
    """Changes the token of both sides before a run's first write and after its last one.

    PostgreSQL announces a token, Qdrant gets it, PostgreSQL notes that it arrived. A run that is killed in between
    leaves the collection with a token that the database knows. Between both exchanges the token cannot show a restore.
    So the database also holds in which of its incarnations a run is in the middle of writing.

    :param target: the side of the points
    :param record: the side of the rows
    :param database: the identity of the database
    :param known: the newest token that the database had made when the run started
    :param incarnation: the database as it runs now, see :class:`~code_patterns.sync.source.Horizon`
    :param agreed: whether both sides held the same token when the run started
    :param reconciles: whether this run compares everything, so that it may make both sides agree
    :param exchanges: whether this run changes the token; runs that write side by side must not
    """

    def __init__(
        self,
        target: PatternTarget,
        record: RunRecord,
        database: DatabaseIdentity,
        known: str | None,
        incarnation: str,
        *,
        agreed: bool,
        reconciles: bool,
        exchanges: bool,
    ) -> None:
        self._target = target
        self._record = record
        self._database = database
        self._known = known
        self._incarnation = incarnation
        self._agreed = agreed
        self._reconciles = reconciles
        self._exchanges = exchanges
        self._begun = False
        self._exchanged = False

    async def begin(self) -> None:
        """Announce that this run writes; called before every write, by one caller at a time, and done once.

        If the sides disagree, only a run that compares everything may make them agree. Any other run would hide it.
        """
        if self._begun:
            return
        if self._exchanges and (self._agreed or self._reconciles):
            await self._exchange(owed=not self._agreed)
            self._exchanged = self._agreed = True
        elif not self._agreed:
            # What this run writes may be the very point that shows the difference.
            await self._record.owe_comparison()
        await self._record.mark_unfinished(self._incarnation)
        self._begun = True

    async def settle(self) -> None:
        """Give both sides a token after everything was compared, even if nothing was written."""
        if not self._agreed:
            await self.begin()

    async def end(self) -> None:
        """Change the token after the last write: a copy of a side from the middle of the run is not its result."""
        await self._target.mark_survivor()
        if self._agreed and self._target.last_write:
            await self._record.save_witness(self._target.last_write)
        if self._exchanged:
            await self._exchange(owed=False)

    async def _exchange(self, *, owed: bool) -> None:
        collection = self._target.collection
        token = self._known = next_token(self._known, collection.description.progress)
        await self._record.announce(token, owed=owed)
        self._target.collection = await note_progress(self._target.qdrant, collection, self._database, token)
        await self._record.arrive(token)
