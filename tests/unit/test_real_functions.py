"""What tests may rely on when they take real code."""

import json
import re
import textwrap
from importlib.metadata import version

import pytest

from tests.conftest import ROOT
from tests.support.real_functions import PACKAGE, real_functions, some_functions
from tests.support.two_sides import rows


def test_the_lock_names_one_version_for_every_interpreter() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    locked = re.findall(rf"^{PACKAGE}==(\S+)(.*)$", lock, re.MULTILINE)
    assert locked == [(version(PACKAGE), " \\")], "one version, and no marker"


def test_no_two_functions_are_the_same() -> None:
    assert len({function.code for function in real_functions()}) == len(real_functions()) > 5000
    every = [(row["pattern_name"], row["file_path"], row["pattern_data"]) for row in rows(2000)]
    assert len(set(every)) == 2000


def test_copies_are_asked_for() -> None:
    codes = [json.loads(row["pattern_data"])["code"] for row in rows(7, 10, copies=3)]
    one, two, three = (function.code for function in some_functions(3, 10))
    assert codes == [one] * 3 + [two] * 3 + [three]
    assert len({row["pattern_id"] for row in rows(7, copies=3)}) == 7


def test_too_few_functions_are_an_error() -> None:
    with pytest.raises(ValueError, match="real functions"):
        rows(2, start=len(real_functions()) - 1)


def test_the_functions_are_code_in_use() -> None:
    for name, path, code in some_functions(50, 1000):
        assert f"def {name}(" in textwrap.dedent(code)
        assert path.endswith(".py")
