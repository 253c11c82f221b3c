"""An Airflow that is too old is refused before a run does anything."""

import importlib

import airflow
import pytest

from code_patterns import operators


@pytest.mark.parametrize("version", ["3.2.2", "2.11.0", "3.0.0rc1"])
def test_an_old_airflow_is_named(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow, "__version__", version)
    with pytest.raises(ImportError, match=rf"needs Airflow 3\.3 or newer; this is {version}\."):
        importlib.reload(operators)


@pytest.mark.parametrize("version", ["3.3.0", "3.3.0rc1", "3.10.1", "4.0.0.dev0"])
def test_a_new_airflow_is_taken(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow, "__version__", version)
    importlib.reload(operators)
