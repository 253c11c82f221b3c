"""The nodes of a running Qdrant cluster on this machine, to be killed and started again."""

import contextlib
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from code_patterns.servers.qdrant_config import QdrantConfig

WAIT_SECONDS = 120


@dataclass
class Node:
    """A server process. It is found by its port, and started again as it was found.

    :param url: its REST address on this machine
    """

    url: str
    command: list[str] = field(init=False)
    environment: dict[str, str] = field(init=False)
    folder: str = field(init=False)
    process: psutil.Process = field(init=False)

    def __post_init__(self) -> None:
        port = urlsplit(self.url).port
        listening = {
            psutil.Process(connection.pid)
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid
        }
        assert len(listening) == 1, f"No process of this machine that may be looked at listens at {self.url}"
        [self.process] = listening
        self.command = self.process.cmdline()
        self.environment = self.process.environ()
        self.folder = self.process.cwd()

    @property
    def config(self) -> QdrantConfig:
        """A connection to this node alone."""
        return QdrantConfig(
            conn_id="patterns_qdrant",
            url=self.url,
            api_key=self.environment.get("QDRANT__SERVICE__API_KEY"),
            grpc_port=int(self.environment.get("QDRANT__SERVICE__GRPC_PORT") or 6334),
            timeout=20,
        )

    @property
    def runs(self) -> bool:
        """Whether the process runs."""
        return bool(self.process.is_running()) and self.process.status() != psutil.STATUS_ZOMBIE

    def kill(self) -> None:
        """End the process at once."""
        if self.runs:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def start(self) -> None:
        """Start the process again, if it does not run."""
        if self.runs:
            return
        with (Path(self.folder) / "restarted.log").open("ab") as output:
            self.process = psutil.Popen(
                self.command,
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def ask(self, path: str) -> Any:
        """The result of a request; ``None`` while the node does not answer."""
        with contextlib.suppress(httpx.TransportError, ValueError):
            return httpx.get(f"{self.url}{path}", headers=self._headers, timeout=5).json().get("result")
        return None

    def tell(self, path: str, request: Any) -> None:
        """Send a request that changes something, where the node answers."""
        with contextlib.suppress(httpx.TransportError):
            httpx.post(f"{self.url}{path}", headers=self._headers, json=request, timeout=20)

    @property
    def _headers(self) -> dict[str, str]:
        return {"api-key": self.config.api_key} if self.config.api_key else {}

    @property
    def peer(self) -> int | None:
        """Its id in the cluster."""
        status = self.ask("/cluster")
        return status and int(status["peer_id"])


@dataclass
class Cluster:
    """Three nodes."""

    nodes: list[Node]

    @classmethod
    def named(cls, urls: str) -> "Cluster":
        """The cluster of these URLs, separated by commas."""
        return cls([Node(url.strip().rstrip("/")) for url in urls.split(",")])

    def whole(self, *collections: str) -> bool:
        """Whether all nodes answer and know the same, and all replicas are active and not under way."""
        statuses = [node.ask("/cluster") for node in self.nodes]
        if not all(statuses):
            return False
        if any(len({status["raft_info"][known] for status in statuses}) > 1 for known in ("leader", "term", "commit")):
            return False
        return all(
            self._settled(node.ask(f"/collections/{name}/cluster")) for node in self.nodes for name in collections
        )

    @staticmethod
    def _settled(found: Any) -> bool:
        if not found or found["shard_transfers"]:
            return False
        return all(shard["state"] == "Active" for shard in [*found["local_shards"], *found["remote_shards"]])

    def heal(self, *collections: str) -> None:
        """Start what does not run, and wait until the cluster is whole."""
        for node in self.nodes:
            node.start()
        deadline = time.monotonic() + WAIT_SECONDS
        while not self.whole(*collections):
            assert time.monotonic() < deadline, [
                node.ask(path)
                for node in self.nodes
                for path in ("/cluster", *(f"/collections/{name}/cluster" for name in collections))
            ]
            time.sleep(0.1)

    def leader(self) -> Node:
        """The node that leads."""
        return self.by_peer(self.nodes[0].ask("/cluster")["raft_info"]["leader"])

    def by_peer(self, peer: int) -> Node:
        """The node with this id."""
        [found] = [node for node in self.nodes if node.peer == peer]
        return found
