"""What is hidden from the environment while a connection is made."""

import gc
import os
import threading
from collections.abc import Generator
from typing import Any

import pytest

from code_patterns.servers.postgres_session import undisturbed, without_environment


def test_an_abandoned_attempt_may_end_in_the_middle_of_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    ended: list[str | None] = []

    def steps() -> Generator[Any, Any, None]:
        try:
            yield "wait"
        finally:
            ended.append(os.environ.get("PGTZ"))

    def work() -> None:
        abandoned = undisturbed(steps())
        assert abandoned.send(None) == "wait"
        with without_environment():
            del abandoned
            gc.collect()

    # It would wait for itself.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert ended == [None]
    assert os.environ["PGTZ"] == "Asia/Tokyo"
