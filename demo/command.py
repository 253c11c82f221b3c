"""How both commands begin and end."""

import sys
from collections.abc import Callable

from code_patterns.errors import PatternsError
from demo.errors import DemoError
from demo.screen import Screen
from demo.stack import Workplace, workplace

INTERRUPTED = 130
"""A shell's exit code for a program that Ctrl-C ended."""


def run(work: Callable[[Workplace, Screen], None], *, after: str = "") -> int:
    """Do a command's work, then stop everything it started, whatever happens.

    :param work: what the command does
    :param after: printed when the work is done and everything is stopped
    :return: exit code of the process
    """
    screen = Screen()
    try:
        with workplace(screen) as place:
            work(place, screen)
    except KeyboardInterrupt:
        screen.title("Airflow and PostgreSQL are stopped. The data stays in .demo.")
        return INTERRUPTED
    except (DemoError, PatternsError) as error:
        sys.stdout.flush()
        sys.stderr.write(f"\n{error}\n")
        return 1
    if after:
        screen.title(after)
    return 0
