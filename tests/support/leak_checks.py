"""Part of every test: no secret in its log, in its output or in the text of an error of this project."""

from collections.abc import Iterator

import pytest

from code_patterns.codes import Code
from code_patterns.errors import PatternsError
from tests.support.leaks import LEAKS


@pytest.fixture(scope="session", autouse=True)
def every_error_is_read() -> Iterator[None]:
    """Look through the text of each error of this project, whoever catches it."""
    initialise = PatternsError.__init__

    def read(error: PatternsError, code: Code, message: str) -> None:
        initialise(error, code, message)
        LEAKS.look(f"text of a {type(error).__name__}", str(error))

    patch = pytest.MonkeyPatch()
    patch.setattr(PatternsError, "__init__", read)
    yield
    patch.undo()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Fail a test at its end when a secret was found in what it wrote."""
    report: pytest.TestReport = yield  # type: ignore[assignment, misc]
    if report.when == "teardown":
        for name, text in report.sections:
            LEAKS.look(name, text)
        if found := LEAKS.take():
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} has written a secret:\n" + "\n".join(dict.fromkeys(found))
            report.sections = []
    return report  # type: ignore[return-value]
