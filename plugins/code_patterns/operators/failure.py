"""The message of a failed try: the last lines of the log, and the XCom ``failure``."""

import re
import textwrap
from dataclasses import dataclass

from code_patterns.codes import Code
from code_patterns.errors import OutageError, PatternsError

WIDTH = 70
"""Longest line, in characters: Airflow's log page does not wrap. In a window of 1,280 pixels it shows 71 of them after
somebody has looked at the graph, and 87 before."""

_FIRST_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


@dataclass(frozen=True)
class Failure:
    """What a person needs to know about a failed try.

    :param said: the error's message
    :param wrong: what is wrong, and where
    :param remedy: what to do; empty if the error is one sentence that says both
    :param waited: how often the task itself tried; empty if that says nothing
    :param tries: which try of the task it was, and whether another follows
    :param code: what the runbook says more about
    """

    said: str
    wrong: str
    remedy: str
    waited: str
    tries: str
    code: Code

    @classmethod
    def of(cls, error: PatternsError, try_number: int, max_tries: int) -> "Failure":
        """Make the parts of an error's message.

        :param error: the error that ended the task
        :param try_number: number of the try, from 1
        :param max_tries: most tries after the first
        """
        said = error.message
        waited = error.tried if isinstance(error, OutageError) else ""
        shown = " ".join(said.removesuffix(waited).split())
        wrong, _, remedy = _FIRST_SENTENCE.sub("\n", shown, count=1).partition("\n")
        if not error.may_be_retried(try_number):
            end = f"Try {try_number} failed for good: another one would end the same."
            return cls(said, wrong, remedy, waited, end, error.code)
        further = "another one follows" if try_number <= max_tries else "the last one"
        tries = max(try_number, min(max_tries + 1, error.most_tries or max_tries + 1))
        return cls(said, wrong, remedy, waited, f"Try {try_number} of {tries} failed, {further}.", error.code)

    def lines(self) -> list[str]:
        """The parts in short lines."""
        return [
            line
            for part in self.text().splitlines()
            for line in textwrap.wrap(
                part, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
            )
        ]

    def text(self) -> str:
        """The parts, one on each line. A text, because the XCom page folds everything else."""
        remedy = f"What to do: {self.remedy}" if self.remedy else ""
        more = f"More about it: {self.code} in docs/runbook.md."
        parts = [f"What is wrong: {self.wrong}", remedy, self.waited, self.tries, more]
        return "\n".join(part for part in parts if part)
