"""The trigger as the triggerer has it: made of what is stored, with connections and Variables of Airflow."""

import asyncio
import contextlib
import importlib

import pytest
from airflow.triggers.base import BaseEventTrigger

from code_patterns.sync import unattended
from code_patterns.sync.sync_target import SyncTarget
from code_patterns.triggers.unattended import PatternsUnattendedTrigger
from tests.support.connections import connections_of
from tests.support.two_sides import TwoSides, rows


def stored_and_made_again(trigger: PatternsUnattendedTrigger) -> BaseEventTrigger:
    path, arguments = trigger.serialize()
    module, name = path.rsplit(".", 1)
    again = getattr(importlib.import_module(module), name)(**arguments)
    assert isinstance(again, BaseEventTrigger)
    return again


@pytest.mark.parametrize(("collection", "target"), [(None, None), ("of_team_a", None), ("of_team_a", "team_a")])
def test_it_survives_being_stored(collection: str | None, target: str | None) -> None:
    trigger = PatternsUnattendedTrigger("other_database", collection, target)
    again = stored_and_made_again(trigger)
    assert again.serialize() == trigger.serialize()
    # Airflow knows a watcher by this number.
    assert BaseEventTrigger.hash(*again.serialize()) == BaseEventTrigger.hash(*trigger.serialize())


def test_it_fires_for_a_change_and_says_no_more(sides: TwoSides, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in connections_of(sides).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(unattended, "ASK_SECONDS", 0.02)
    sides.insert(rows(2))
    sides.sync("full")

    async def fired() -> object:
        async with asyncio.timeout(30):
            async for event in stored_and_made_again(PatternsUnattendedTrigger()).run():
                return event.payload
        return None

    sides.insert(rows(1, 10))
    assert asyncio.run(fired()) == "changes wait"


def test_that_of_a_target_watches_for_the_collection_of_the_target(
    sides: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in connections_of(sides).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(unattended, "ASK_SECONDS", 0.02)
    monkeypatch.setenv("AIRFLOW_VAR_PATTERNS_COLLECTION", "never_synced")
    sides.insert(rows(2))
    sides.sync("full", target=SyncTarget("a"))
    sides.insert(rows(1, 10))

    async def fires(trigger: PatternsUnattendedTrigger, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for _ in stored_and_made_again(trigger).run():
                    return True
        return False

    assert asyncio.run(fires(PatternsUnattendedTrigger(collection=sides.collection, target="a"), 30))
    assert not asyncio.run(fires(PatternsUnattendedTrigger(), 0.5))
    assert not asyncio.run(fires(PatternsUnattendedTrigger(collection=sides.collection, target="b"), 0.5))
