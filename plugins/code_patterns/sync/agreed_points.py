"""Read what all replicas of a collection hold.

A cluster keeps each shard on several nodes. A write that Qdrant acknowledged is on every replica that it calls
active. A write that failed may be on some of them: a node that is killed in the middle of a write has perhaps stored
it, and told no other. Qdrant does not compare replicas, so only a reader can find out. With the read consistency "all"
it returns the points of which every replica holds the same, and fails while one cannot be read. A server without
replicas reads as always.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from qdrant_client import models

from code_patterns.codes import Code
from code_patterns.errors import OutageError, PatternsError
from code_patterns.servers.qdrant import Qdrant
from code_patterns.servers.qdrant_errors import failed_inside
from code_patterns.sync.collection import Collection

log = logging.getLogger(__name__)

ALL = models.ReadConsistencyType.ALL
Result = TypeVar("Result")


class AgreedPoints:
    """The points of a collection of which all replicas hold the same; a point on which they disagree is absent.

    :param qdrant: the open Qdrant
    :param collection: the collection
    :param strict: wait until every replica can be read, as a proof must. Otherwise the replicas that can be read are
        enough: the others get their content from these when they come back
    """

    def __init__(self, qdrant: Qdrant, collection: Collection, *, strict: bool = False) -> None:
        self.collection = collection
        self._qdrant = qdrant
        self._client = qdrant.client
        self._strict = strict
        self._warned = False

    async def by_id(self, doing: str, ids: Sequence[str], payload: list[str]) -> list[models.Record]:
        """Some points, without their vectors.

        :param doing: for messages
        :param ids: as Qdrant takes them
        :param payload: keys to read
        """
        return await self._read(
            doing,
            lambda consistency: self._client.retrieve(
                self.collection.physical,
                ids=ids,
                with_payload=payload,
                with_vectors=False,
                consistency=consistency,
            ),
        )

    async def page(
        self,
        doing: str,
        limit: int,
        offset: Any,
        *,
        payload: bool | list[str],
        vectors: bool = False,
        where: models.Filter | None = None,
    ) -> tuple[list[models.Record], Any]:
        """Points in id order, and where the next page starts; ``None`` after the last one.

        :param doing: for messages
        :param limit: most points
        :param offset: the first id; ``None`` for the first point
        :param payload: keys to read, or whether to read all
        :param vectors: whether to read vectors
        :param where: which points
        """

        async def scroll(
            limit: int, offset: Any, where: models.Filter | None, consistency: models.ReadConsistency | None
        ) -> tuple[list[models.Record], Any]:
            return await self._client.scroll(
                self.collection.physical,
                scroll_filter=where,
                limit=limit,
                offset=offset,
                with_payload=payload,
                with_vectors=vectors,
                consistency=consistency,
            )

        records, following = await self._read(doing, lambda consistency: scroll(limit, offset, where, consistency))
        if following is not None or not self.collection.replicated:
            return records, following
        # Each replica cuts the page by itself. Where they disagree, what they have in common is less than a page, which
        # Qdrant takes for the end. So the page goes on with what one replica has beyond.
        last = records[-1].id if records else None
        start = offset if last is None else last
        beyond, following = await self._qdrant.call(doing, lambda: scroll(limit + 1, start, where, None))
        ids = [record.id for record in beyond if record.id != last]
        if ids:
            these = models.Filter(must=[models.HasIdCondition(has_id=ids), *([where] if where else [])])
            agreed, _ = await self._read(doing, lambda consistency: scroll(len(ids), None, these, consistency))
            records += agreed
        return records, following

    async def count(self) -> int:
        """How many points there are; the least number that a replica has."""
        return await self._count(ALL)

    async def replicas_agree(self) -> bool:
        """Whether no replica has more points than another: a deletion may have reached only some of them."""
        return not self.collection.replicated or await self.count() == await self._count(
            models.ReadConsistencyType.MAJORITY
        )

    async def _count(self, wanted: models.ReadConsistencyType) -> int:
        physical = self.collection.physical
        return await self._read(
            f"counting '{physical}'", lambda consistency: self._qdrant.count(physical, consistency and wanted)
        )

    async def _read(self, doing: str, request: Callable[[models.ReadConsistency | None], Awaitable[Result]]) -> Result:
        async def agreed() -> Result:
            try:
                return await request(ALL)
            except Exception as error:
                if self._strict or not self.collection.replicated or not failed_inside(error):
                    raise
            found = await request(None)
            self._warn()
            return found

        try:
            return await self._qdrant.call(doing, agreed)
        except OutageError as error:
            if not (self._strict and self.collection.replicated):
                raise
            raise OutageError(Code.REPLICAS_DIFFER, f"{error.message} {await self._missing()}") from None

    def _warn(self) -> None:
        if not self._warned:
            log.warning(
                "Not every replica of '%s' can be read. This run compares with those that can. The next full sync "
                "compares with all.",
                self.collection.physical,
            )
        self._warned = True

    async def _missing(self) -> str:
        """Say which replicas a proof waits for."""
        physical = self.collection.physical
        try:
            found = await self._qdrant.call(
                f"reading the replicas of '{physical}'",
                lambda: self._client.collection_cluster_info(physical),
                attempts=1,
            )
        except PatternsError:
            return f"Nothing is proven until all replicas of '{physical}' can be read."
        here = [(shard.shard_id, found.peer_id, shard.state) for shard in found.local_shards]
        there = [(shard.shard_id, shard.peer_id, shard.state) for shard in found.remote_shards]
        away = [
            f"shard {shard} on peer {peer} is {state.value}"
            for shard, peer, state in sorted(here + there)
            if state is not models.ReplicaState.ACTIVE
        ]
        return (
            f"Nothing is proven until all replicas of '{physical}' can be read: "
            f"{'; '.join(away) or 'Qdrant calls all active, so look whether all its nodes run'}. Qdrant repairs a "
            "replica by itself when its node is back. If that node is gone for good, remove it from the cluster and "
            "give its shards new replicas."
        )
