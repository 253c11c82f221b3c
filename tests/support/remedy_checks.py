"""Part of every test that follows a remedy of docs/runbook.md: it must have provoked the code that it names.

`@pytest.mark.remedy(Code.LOCK_HELD)` says that a test provokes this error, does what the runbook says, and sees that
it works afterwards. Several codes may be named. `elsewhere=True` says that another process makes the error, so that
the test itself looks for the code. An alert is named by the text of its code, and always elsewhere.
"""

from collections.abc import Iterator

import pytest

from code_patterns.codes import Code
from code_patterns.errors import PatternsError


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", "remedy(*codes, elsewhere=False): follows the runbook's entry to the end")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Note the codes of all errors that are made during a marked test, whoever catches them."""
    mark = item.get_closest_marker("remedy")
    if mark is None or mark.kwargs.get("elsewhere"):
        return (yield)
    provoked: set[Code] = set()
    initialise = PatternsError.__init__

    def note(error: PatternsError, code: Code, message: str) -> None:
        initialise(error, code, message)
        provoked.add(code)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PatternsError, "__init__", note)
        result = yield
    missing = set(mark.args) - provoked
    assert not missing, f"this test has not provoked {', '.join(sorted(missing))}"
    return result
