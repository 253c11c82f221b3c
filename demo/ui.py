"""``make ui``: the demo's data in the Airflow UI, until Ctrl-C."""

import shlex
import sys
import time
from datetime import UTC, datetime, timedelta

from demo import HOME
from demo.airflow_server import ENVIRONMENT_FILE, LOGS, USER
from demo.command import INTERRUPTED, run
from demo.errors import DemoError
from demo.screen import Screen
from demo.stack import FULL, INCREMENTAL, MIGRATION, STREAM, Workplace, harvested, is_loaded, start

PORT = 8080
BACKFILLED = timedelta(hours=6)


def serve(place: Workplace, screen: Screen) -> None:
    """Start everything and keep it running until Ctrl-C.

    :raises DemoError: a component ended unexpectedly
    """
    fresh = not is_loaded()
    screen.title(
        "The code patterns bundle in the Airflow UI",
        f"There is no data in {HOME.name} yet: loading it."
        if fresh
        else f"The data in {HOME.name} is from the last call. 'make demo' makes it again.",
    )
    stack = start(place, screen, harvested(screen) if fresh else None, port=PORT, scheduled=True, triggerer=True)
    if fresh:
        # Later calls leave it as it is: a person may have paused it.
        stack.api.unpause(STREAM)
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    backfill = (
        f"airflow backfill create --dag-id {INCREMENTAL}",
        f"  --from-date {end - BACKFILLED:%Y-%m-%dT%H:%M:%SZ} --to-date {end - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
    )
    screen.gap()
    screen.rows(
        [
            ("Open", stack.server.url),
            ("User", USER),
            ("Password", stack.secrets.login),
            ("Search", f"{stack.server.url}/plugin/patterns"),
            ("Logs", str(LOGS)),
        ]
    )
    screen.gap()
    if fresh:
        screen.say(f"Trigger {MIGRATION} with dry_run off first, then {FULL}.")
    screen.say(f"{STREAM} takes changes as they are committed. Its watcher starts it within a minute.")
    screen.say(
        "airflow commands in another shell, such as a backfill of past hours:",
        f"  source {shlex.quote(str(ENVIRONMENT_FILE))}",
    )
    screen.say(f"  {backfill[0]} \\", f"  {backfill[1]}")
    screen.gap()
    screen.say("Ctrl-C stops Airflow and PostgreSQL; the data stays.")
    while not (failed := place.airflow.failed() or place.databases.failed()):
        time.sleep(1)
    raise DemoError(f"'{failed}' ended unexpectedly. Read its log in {LOGS}.")


if __name__ == "__main__":
    code = run(serve)
    # Ctrl-C is the normal end of this command.
    sys.exit(0 if code == INTERRUPTED else code)
