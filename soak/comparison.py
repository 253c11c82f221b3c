"""Both sides side by side, read by the harness itself: nothing of the sync's code is used."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
from psycopg.rows import dict_row

from demo import installation
from soak import COLLECTION

APPLICATION = "soak"
PAGE = 500
SECONDS = 20.0


@dataclass(frozen=True)
class Differences:
    """Where rows and points disagree.

    :param missing: rows without a point
    :param orphaned: points without a row
    :param different: points whose name, path, code or metadata is not the row's
    """

    missing: frozenset[UUID]
    orphaned: frozenset[UUID]
    different: frozenset[UUID]

    @property
    def ids(self) -> frozenset[UUID]:
        """All of them."""
        return self.missing | self.orphaned | self.different

    def __str__(self) -> str:
        """Say how many there are of each, and name some."""
        some = ", ".join(sorted(map(str, self.ids))[:3])
        return (
            f"{len(self.missing)} missing, {len(self.orphaned)} orphaned, {len(self.different)} different"
            f"{f', such as {some}' if some else ''}"
        )


def differences(rows: Mapping[UUID, Mapping[str, Any]], points: Mapping[UUID, Mapping[str, Any]]) -> Differences:
    """Compare rows with payloads."""
    return Differences(
        missing=frozenset(rows.keys() - points.keys()),
        orphaned=frozenset(points.keys() - rows.keys()),
        different=frozenset(
            node_id
            for node_id in rows.keys() & points.keys()
            if any(points[node_id].get(key) != value for key, value in rows[node_id].items())
        ),
    )


def query(name: str) -> bytes:
    """Return the SQL of this name in ``soak/sql``."""
    return (Path(__file__).parent / "sql" / f"{name}.sql").read_bytes()


class BothSides:
    """Reads both sides past the proxies.

    :param dsn: the database
    :param qdrant: address of the Qdrant server
    """

    def __init__(self, dsn: str, qdrant: str) -> None:
        self._dsn = dsn
        self._client = httpx.Client(base_url=qdrant, timeout=SECONDS, trust_env=False)

    def ask(self, name: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Run a query of ``soak/sql``.

        :raises psycopg.Error: the server is down
        """
        with psycopg.connect(self._dsn, autocommit=True, application_name=APPLICATION) as connection:
            return connection.execute(query(name), parameters).fetchall()

    def rows(self, ids: Sequence[UUID] | None = None) -> Mapping[UUID, Mapping[str, Any]]:
        """The code rows, all or some.

        :raises psycopg.Error: the server is down
        """
        with psycopg.connect(self._dsn, autocommit=True, application_name=APPLICATION) as connection:
            cursor = connection.cursor(row_factory=dict_row)
            return {row.pop("id"): row for row in cursor.execute(installation.query("code_contents"), {"ids": ids})}

    def points(self, ids: Sequence[UUID] | None = None) -> Mapping[UUID, Mapping[str, Any]]:
        """The payloads, all or some.

        :raises httpx.HTTPError: the server is down, or answers with an error
        """
        if ids is None:
            return dict(self._all_points())
        answer = self._post("points", {"ids": [str(node_id) for node_id in ids], "with_payload": True})
        return {UUID(point["id"]): point["payload"] for point in answer}

    def compare(self) -> Differences:
        """Compare everything, while nobody writes."""
        return differences(self.rows(), self.points())

    def _all_points(self) -> Iterator[tuple[UUID, Mapping[str, Any]]]:
        offset = None
        while True:
            answer = self._post("points/scroll", {"limit": PAGE, "offset": offset, "with_payload": True})
            yield from ((UUID(point["id"]), point["payload"]) for point in answer["points"])
            offset = answer["next_page_offset"]
            if offset is None:
                return

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        answer = self._client.post(f"/collections/{COLLECTION}/{path}", json=body)
        answer.raise_for_status()
        return answer.json()["result"]
