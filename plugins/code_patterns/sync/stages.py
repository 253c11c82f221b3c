"""The stages of a run: the seconds that each took, and a span of each for OpenTelemetry.

Spans are made where somebody has configured tracing, as Airflow's ``[traces]`` does, and nowhere else. A span holds
counts and the name of the collection: never a text, and of an error only its type.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from code_patterns.sync.sync_result import Waits

PREFIX = "code_patterns."
"""Of the names of all spans and of their attributes."""


def tracer() -> trace.Tracer | None:
    """What makes spans; ``None`` where nobody has configured tracing."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return None
    return provider.get_tracer("code_patterns")


class Note(Protocol):
    """Adds to a span what is known only at its end."""

    def __call__(self, **counts: int) -> None:
        """Add counts."""


class Stages:
    """Measures the stages of one run.

    :param kind: the kind of run
    :param collection: the collection, as users write it
    """

    def __init__(self, kind: str, collection: str) -> None:
        self.waits = Waits()
        self._of_run: dict[str, str | int] = {f"{PREFIX}kind": kind, f"{PREFIX}collection": collection}

    @contextmanager
    def run(self) -> Iterator[None]:
        """Make the span that holds those of the stages."""
        with self._span("run"):
            yield

    @contextmanager
    def measured(self, stage: str, **counts: int) -> Iterator[Note]:
        """Measure some work of a stage.

        :param stage: a field of :class:`~code_patterns.sync.sync_result.Waits`
        :param counts: how much work it is, for the span
        """
        started = time.monotonic()
        try:
            with self._span(stage, **counts) as note:
                yield note
        finally:
            setattr(self.waits, stage, getattr(self.waits, stage) + time.monotonic() - started)

    @contextmanager
    def _span(self, name: str, **counts: int) -> Iterator[Note]:
        traced = tracer()
        if traced is None:
            yield _nothing
            return
        # The message of an error may quote a row.
        with traced.start_as_current_span(
            PREFIX + name, attributes=self._of_run, record_exception=False, set_status_on_exception=False
        ) as span:

            def note(**counts: int) -> None:
                for key, count in counts.items():
                    span.set_attribute(PREFIX + key, count)

            note(**counts)
            try:
                yield note
            except BaseException as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise


def _nothing(**_: int) -> None:
    """The note of a span that is not made."""
