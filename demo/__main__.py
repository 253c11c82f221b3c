"""``make demo``: the main job end to end, on real Airflow, with code of the standard library."""

import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any
from uuid import UUID

from code_patterns.quality.dimensions import TIERS, WEIGHTS
from code_patterns.search import Hit
from demo import HOME
from demo.airflow_server import LOGS
from demo.arrival import QUESTION as ARRIVAL_QUESTION
from demo.arrival import ROW, Arrival, insert_and_find, is_streaming
from demo.collection import ALIAS, compare, search
from demo.command import run
from demo.errors import DemoError
from demo.installation import Burst, change, count_scores
from demo.learning import Learned, analyse, learn
from demo.rest import AirflowApi, Run
from demo.screen import Screen
from demo.stack import ANALYTICS, FULL, INCREMENTAL, MIGRATION, QUALITY, STREAM, Stack, Workplace, harvested, start

RUN_SECONDS = 120.0
LOG_LINES = 25
SYNC_COUNTS = ("examined", "new", "changed", "words_only", "payload_only", "unchanged", "deleted", "parked")
QUESTION = "wrap a paragraph of text to a given width"
HITS = 4
WORDS = 3
"""So many matched words of each hit are shown."""
LINGER_SECONDS = 5


def demo(place: Workplace, screen: Screen) -> None:
    """Run the main job and show what each run found and did."""
    screen.title(
        f"Code patterns from PostgreSQL to Qdrant, on Airflow {version('apache-airflow')}",
        f"Every call begins with fresh data. Everything it makes is in {HOME.name}.",
    )
    rows = harvested(screen)
    stack = start(place, screen, rows, port=0, scheduled=False, triggerer=False)

    scores, _ = count_scores(stack.database)
    with screen.step(f"1  {MIGRATION}: the columns, triggers and tables of the sync"):
        migrated = _run(stack.api, screen, MIGRATION, direction="up", dry_run=False)
    _tell_seconds(screen, migrated)
    _tell_migration(screen, stack, migrated, scores)

    with screen.step(f"2  {FULL}: compare everything, write what differs, prove it"):
        full = _run(stack.api, screen, FULL)
    _tell_sync(screen, stack, full)
    _tell_search(screen, stack, QUESTION, frozenset())

    with screen.step("3  A busy day in SQL"):
        burst = change(stack.database, rows)
    _tell_burst(screen, burst)

    with screen.step(f"4  {INCREMENTAL}: what has changed since"):
        incremental = _run(stack.api, screen, INCREMENTAL)
    found = _tell_sync(screen, stack, incremental)
    _check(found, burst)
    _tell_search(screen, stack, rows.question, frozenset(row.id for row in rows.later))

    with screen.step(f"5  {QUALITY}: a score for every pattern"):
        scored = _run(stack.api, screen, QUALITY, collection=ALIAS, delay_seconds=0)
    _tell_quality(screen, stack, scored, found=compare(stack.database).points)

    with screen.step("6  Templates and a week of their use, through the storage layer"):
        learned = learn(stack.database, rows.loaded)
    screen.say(f"{learned.templates} templates stored, {learned.events} usage events recorded")
    with screen.step(f"7  {ANALYTICS}: how they fared on {learned.day}"):
        analysed = _run(stack.api, screen, ANALYTICS, day=learned.day.isoformat())
    _tell_analytics(screen, stack, analysed, learned)

    with screen.step(f"8  {STREAM}: changes as they are committed"):
        stream = _start_stream(stack, screen)
        arrival = insert_and_find(stack.database)
        streamed = _finish(stack.api, screen, stream)
    _tell_stream(screen, stack, streamed, arrival)


def _run(api: AirflowApi, screen: Screen, dag_id: str, **params: Any) -> Run:
    """Run a DAG to its end.

    :raises DemoError: the run failed; the message ends with the end of the task's log
    """
    return _finish(api, screen, api.trigger(dag_id, params))


def _finish(api: AirflowApi, screen: Screen, started: Run) -> Run:
    """Wait for the end of a run.

    :raises DemoError: it failed; the message ends with the end of the task's log
    """
    finished = api.finish(started, screen.tick, RUN_SECONDS)
    if finished.state != "success":
        log = "\n".join(api.failed_task_log(finished)[-LOG_LINES:])
        raise DemoError(
            f"The run {finished.run_id} of {finished.dag_id} failed. The end of its task log:\n\n{log}\n\n"
            f"More is in {LOGS}."
        )
    return finished


def _start_stream(stack: Stack, screen: Screen) -> Run:
    """Start the stream by hand, and wait until it looks for changes.

    :return: the run; a failed one has ended
    :raises DemoError: it does not start in time
    """
    stream = stack.api.trigger(STREAM, {"linger_seconds": LINGER_SECONDS})
    deadline = time.monotonic() + RUN_SECONDS
    while not is_streaming(stack.database):
        if stack.api.refresh(stream).is_finished:
            return _finish(stack.api, screen, stream)
        if time.monotonic() > deadline:
            raise DemoError(f"{STREAM} has not started within {RUN_SECONDS:.0f} s.")
        screen.tick()
        time.sleep(0.1)
    return stream


def _tell_seconds(screen: Screen, finished: Run) -> None:
    screen.say(f"DAG run {finished.run_id}: {finished.state} in {finished.seconds:.1f} s")


def _tell_migration(screen: Screen, stack: Stack, finished: Run, scores: int) -> None:
    versions = ", ".join(f"{version:03}" for version in stack.api.result(finished, "apply")["versions"])
    facts = stack.api.result(finished, "verify")["facts"]
    kept, patterns = count_scores(stack.database)
    screen.say(
        f"Applied {versions}; {facts} facts of the schema verified.",
        f"Quality scores: {scores} before, {kept} for {patterns} patterns now that each has one.",
    )


def _tell_sync(screen: Screen, stack: Stack, finished: Run) -> Mapping[str, Any]:
    """Show what a sync found and did, and whether both sides agree."""
    result: Mapping[str, Any] = stack.api.result(finished, "sync")
    _tell_seconds(screen, finished)
    screen.counts({name.replace("_", " "): result[name] for name in SYNC_COUNTS})
    screen.say(
        f"{result['seconds']:.1f} s, {result['patterns_per_second']:,.0f} patterns/s, "
        f"{result['embedded_texts']:,} texts embedded; "
        + ("the run has proven parity" if result["parity"] == "proven" else "only a full sync proves parity")
    )
    seen = compare(stack.database)
    if not seen.agrees:
        raise DemoError(f"PostgreSQL and Qdrant do not agree after {finished.dag_id}: {seen}")
    screen.say(f"Compared from outside: {seen.rows:,} rows and {seen.points:,} points hold the same.")
    return result


def _tell_burst(screen: Screen, burst: Burst) -> None:
    screen.rows(
        [
            (f"{burst.inserted:>5,}", "rows inserted"),
            (f"{burst.code_changed:>5,}", "rows given other code"),
            (f"{burst.metadata_changed:>5,}", "rows given other metadata"),
            (
                f"{burst.retired + burst.deleted:>5,}",
                f"rows deleted ({burst.deleted}) or no longer code ({burst.retired})",
            ),
            (f"{burst.counted:>5,}", "usage counters raised, which is no change for the sync"),
        ]
    )


def _tell_quality(screen: Screen, stack: Stack, finished: Run, found: int) -> None:
    """Show how many patterns were scored and how they spread over the tiers.

    :param found: points in the collection
    :raises DemoError: a pattern has no score, or more than one
    """
    result: Mapping[str, Any] = stack.api.result(finished, "score")
    _tell_seconds(screen, finished)
    if result["stored"] != found:
        raise DemoError(f"{QUALITY} stored {result['stored']} scores for {found} patterns.")
    scores, patterns = count_scores(stack.database)
    if scores != patterns:
        raise DemoError(f"{patterns} patterns have {scores} scores; expected was one each.")
    screen.say(
        f"{result['stored']:,} scores stored, {result['patterns_per_second']:,.0f} patterns/s, definitions "
        f"{result['version']}"
    )
    screen.rows(
        [
            ("tier", "patterns", "share"),
            *((name, f"{result[name]:>8,}", f"{result[name] / result['scored']:>5.0%}") for name, _ in TIERS),
        ]
    )
    screen.say(
        "Averages: " + ", ".join(f"{name.replace('_', ' ')} {result[f'average_{name}']:.2f}" for name in WEIGHTS)
    )


def _tell_analytics(screen: Screen, stack: Stack, finished: Run, learned: Learned) -> None:
    """Show the most used templates of a day and the trend of the days before it.

    :raises DemoError: the analytics did not count every recorded event
    """
    result: Mapping[str, Any] = stack.api.result(finished, "compute")
    _tell_seconds(screen, finished)
    if result["total_usage_count"] != learned.events_of_day:
        raise DemoError(
            f"{ANALYTICS} counted {result['total_usage_count']} events; {learned.events_of_day} were recorded."
        )
    analysis = analyse(stack.database, learned.day)
    totals = analysis.totals
    screen.say(
        f"{result['total_usage_count']} events of {result['pattern_rows']} templates, {result['success_count']} "
        f"succeeded; {totals['trend_direction']} ({totals['trend_strength']:.0%} against the day before)"
    )
    screen.rows(
        [
            ("top templates", "uses", "succeeded", "quality", "trend"),
            *(
                (
                    row["pattern_name"],
                    f"{row['total_usage_count']:>4}",
                    f"{row['success_count']:>9}",
                    f"{row['average_quality_improvement']:>+7.3f}",
                    f"{row['trend_direction']} {row['trend_strength']:.0%}",
                )
                for row in analysis.top
            ),
        ]
    )
    screen.say("Uses per day: " + ", ".join(f"{row['period'][5:10]} {row['usage_count']}" for row in analysis.trend))


def _tell_stream(screen: Screen, stack: Stack, finished: Run, arrival: Arrival) -> None:
    """Show when a search found the row, and how the stream ended.

    :raises DemoError: the search did not find it, or both sides do not agree
    """
    result: Mapping[str, Any] = stack.api.result(finished, "stream")
    _tell_seconds(screen, finished)
    if not arrival.is_found:
        raise DemoError(f"A search did not find the row {ROW.id} that {STREAM} has synced.")
    seen = compare(stack.database)
    if not seen.agrees:
        raise DemoError(f"PostgreSQL and Qdrant do not agree after {finished.dag_id}: {seen}")
    screen.say(
        f"Row {ROW.pattern_name} inserted: written and recorded {arrival.recorded_seconds:.2f} s after its commit,",
        f"found by a search {arrival.found_seconds:.2f} s after it.",
    )
    _tell_hits(screen, ARRIVAL_QUESTION, arrival.hits, frozenset({ROW.id}))
    screen.say(f"The stream ended by itself: {result['ended']}.")


def _check(found: Mapping[str, Any], burst: Burst) -> None:
    """Compare what the incremental sync did with what was done to the rows.

    :raises DemoError: it did more or less
    """
    expected = {
        "new": burst.inserted,
        "changed": burst.code_changed,
        "payload_only": burst.metadata_changed,
        "deleted": burst.retired + burst.deleted,
        "parked": 0,
    }
    if wrong := [
        f"{name} is {found[name]}, expected {count}" for name, count in expected.items() if found[name] != count
    ]:
        raise DemoError(f"{INCREMENTAL} did not do what the changes ask for: {', '.join(wrong)}.")


def _tell_search(screen: Screen, stack: Stack, question: str, inserted: frozenset[UUID]) -> None:
    """Search through the alias and show the best hits."""
    _tell_hits(screen, question, search(stack.database, question, HITS), inserted)


def _tell_hits(screen: Screen, question: str, hits: Sequence[Hit], inserted: frozenset[UUID]) -> None:
    screen.say(f'Search: "{question}"')
    screen.rows(
        [
            (
                f"  {hit.score:.1f}",
                hit.file_path,
                hit.pattern_name or "",
                f"quality {hit.quality_score:.2f}" if hit.quality_score is not None else "",
                "words: " + ", ".join(hit.matched_words[:WORDS]),
                "just inserted" if UUID(hit.id) in inserted else "",
            )
            for hit in hits
        ]
    )


if __name__ == "__main__":
    sys.exit(run(demo, after="Airflow and PostgreSQL are stopped. 'make ui' opens this data in the Airflow UI."))
