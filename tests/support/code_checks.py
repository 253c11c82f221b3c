"""Part of every whole run of the tests: which codes of the runbook no test has provoked."""

from collections.abc import Iterator
from typing import Any

import pytest

from code_patterns.codes import Code
from code_patterns.errors import PatternsError

PROVOKED: set[str] = set()
"""Codes of the errors that this process has made, and, in the process that controls the others, of theirs."""
OTHERWISE = {Code.KAFKA_AWAY: "is a line of the log, which tests/integration/events look for"}
"""Codes that no error has."""


@pytest.fixture(scope="session", autouse=True)
def every_code_is_noted() -> Iterator[None]:
    """Note the code of each error of this project, whoever catches it."""
    initialise = PatternsError.__init__

    def note(error: PatternsError, code: Code, message: str) -> None:
        initialise(error, code, message)
        PROVOKED.add(code)

    patch = pytest.MonkeyPatch()
    patch.setattr(PatternsError, "__init__", note)
    yield
    patch.undo()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker of pytest-xdist has noted."""
    PROVOKED.update(getattr(node, "workeroutput", {}).get("codes", ()))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand over to the process that controls this one, or name what a run of all tests has left out.

    It fails nothing: some codes need servers that a run may not have, such as a cluster.
    """
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        # Workers send plain types only.
        output["codes"] = sorted(map(str, PROVOKED))
    elif missing := _missing(session):
        reporter = session.config.pluginmanager.getplugin("terminalreporter")
        if reporter:
            reporter.write_line(f"\nNo test of this run has provoked {', '.join(missing)}.", yellow=True)


def _missing(session: pytest.Session) -> list[str]:
    """Codes that no test provoked; empty unless all tests were run and passed."""
    option = session.config.option
    narrowed = option.keyword or option.markexpr or option.collectonly or getattr(option, "lf", False)
    if session.exitstatus != pytest.ExitCode.OK or narrowed or session.config.args_source.name != "TESTPATHS":
        return []
    return sorted(set(Code) - PROVOKED - set(OTHERWISE))
