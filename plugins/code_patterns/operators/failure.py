"""How a failure reads where people meet it: in the log's last lines, and in the XCom ``failure``."""

import re
import textwrap
from dataclasses import dataclass

from code_patterns.errors import PatternsError

WIDTH = 100
"""Characters of a line; Airflow's log page does not wrap."""

_FIRST_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


@dataclass(frozen=True)
class Failure:
    """What a person needs to know about a failed try.

    :param wrong: what is wrong, and where
    :param remedy: what to do; empty where the error says it in its one sentence
    :param tries: which try it was, and whether another one follows
    """

    wrong: str
    remedy: str
    tries: str

    @classmethod
    def of(cls, error: PatternsError, try_number: int, max_tries: int) -> "Failure":
        """Put an error into these words.

        :param error: what ended the task
        :param try_number: which try of the task this is, from 1
        :param max_tries: how many more than one Airflow makes
        """
        wrong, _, remedy = _FIRST_SENTENCE.sub("\n", " ".join(str(error).split()), count=1).partition("\n")
        if not error.retryable:
            return cls(wrong, remedy, f"Try {try_number} failed for good: another one would end the same.")
        further = "another one follows" if try_number <= max_tries else "the last one"
        return cls(wrong, remedy, f"Try {try_number} of {max(try_number, max_tries + 1)} failed, {further}.")

    def lines(self) -> list[str]:
        """All of it in short lines."""
        parts = [f"What is wrong: {self.wrong}", f"What to do: {self.remedy}" if self.remedy else "", self.tries]
        return [
            line
            for part in parts
            for line in textwrap.wrap(
                part, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
            )
        ]

    def as_xcom(self) -> dict[str, str]:
        """The three parts by name."""
        return {"what is wrong": self.wrong, "what to do": self.remedy, "tries": self.tries}
