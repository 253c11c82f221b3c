"""A real Prometheus with the project's alert rules, in a hurry, over the metrics of two sides."""

import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from typing import Any

import httpx
import yaml

from tests.conftest import ROOT

RULES = ROOT / "include" / "monitoring" / "prometheus" / "rules" / "code_patterns.yml"
SCRAPE_SECONDS = 0.5
"""Between two scrapes, and how long each may take."""
EVALUATION_SECONDS = 0.1
PATIENCE = 60.0

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_DURATION = re.compile(r"(?<![\w.])(\d+)([hms])\b")
_SECONDS = re.compile(r"(?<=seconds > )\d+")


@dataclass
class Prometheus:
    """What it scrapes, and where it is asked.

    :param text: gives the metrics; an error or an empty text is an answer 503
    :param scrapes: whether its configuration has the job
    """

    text: Callable[[], str]
    folder: Path
    port: int = 0
    target: str = ""
    scrapes: bool = True
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def configure(self) -> None:
        """Write its configuration; a running one reads it again."""
        job = {"job_name": "code-patterns", "static_configs": [{"targets": [self.target]}]}
        hurry = {
            "scrape_interval": f"{SCRAPE_SECONDS * 1000:.0f}ms",
            "evaluation_interval": f"{EVALUATION_SECONDS * 1000:.0f}ms",
        }
        whole = {"global": hurry, "rule_files": ["rules.yml"], "scrape_configs": [job] if self.scrapes else []}
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(whole))
        if self.process:
            self.process.send_signal(signal.SIGHUP)

    def firing(self) -> set[str]:
        """Codes of the alerts that fire now."""
        alerts = self._ask("alerts")["alerts"]
        return {alert["labels"]["code"] for alert in alerts if alert["state"] == "firing"}

    def samples(self, expression: str) -> list[Any]:
        """What an expression gives now."""
        return list(self._ask("query", query=expression)["result"])

    def wait_until(self, code: str, *, fires: bool) -> None:
        """Wait until an alert fires, or does not."""
        deadline = time.monotonic() + PATIENCE
        while (code in self.firing()) != fires:
            assert time.monotonic() < deadline, f"{code} {'never fired' if fires else 'still fires'}"
            time.sleep(EVALUATION_SECONDS / 2)

    def _ask(self, what: str, **parameters: str) -> Any:
        answer = httpx.get(f"http://127.0.0.1:{self.port}/api/v1/{what}", params=parameters, trust_env=False)
        return answer.raise_for_status().json()["data"]


def in_a_hurry(rules: str, hour: float) -> str:
    """Return the rules with every time shortened, but for latencies.

    :param hour: seconds that an hour takes
    """

    def shortened(duration: re.Match[str]) -> str:
        return f"{max(1, int(int(duration[1]) * _UNITS[duration[2]] * hour / 3.6))}ms"

    lines = []
    for line in rules.splitlines():
        if line.lstrip().startswith(("expr:", "for:")):
            line = _DURATION.sub(shortened, line)
            line = _SECONDS.sub(lambda seconds: f"{int(seconds[0]) * hour / 3600:g}", line)
        lines.append(line)
    return "\n".join(lines)


@contextmanager
def prometheus(text: Callable[[], str], hour: float, *, scrapes: bool = True) -> Iterator[Prometheus]:
    """Run Prometheus.

    :param text: gives the metrics
    :param hour: seconds that an hour takes for its rules
    :param scrapes: whether its configuration has the job
    """
    with tempfile.TemporaryDirectory(prefix="prometheus-") as name, socket() as probe:
        folder = Path(name)
        (folder / "rules.yml").write_text(in_a_hurry(RULES.read_text("utf-8"), hour))
        probe.bind(("127.0.0.1", 0))
        one = Prometheus(text, folder, probe.getsockname()[1], scrapes=scrapes)
        probe.close()
        with _served(one) as one.target:
            one.configure()
            command = [
                *("prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"),
                f"--web.listen-address=127.0.0.1:{one.port}",
            ]
            with (folder / "log").open("wb") as log:
                one.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            try:
                _wait_for(one)
                yield one
            finally:
                one.process.kill()
                one.process.wait()


@contextmanager
def _served(one: Prometheus) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                text = one.text()
            except Exception as error:
                print(f"no metrics: {error}")
                text = ""
            # Prometheus hangs up if it had to wait for too long.
            with suppress(BrokenPipeError):
                self.send_response(200 if text else 503)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.end_headers()
                self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def _wait_for(one: Prometheus) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if httpx.get(f"http://127.0.0.1:{one.port}/-/ready", trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        said = (one.folder / "log").read_text("utf-8", "replace")[-2000:]
        assert one.process is not None
        assert one.process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.05)
