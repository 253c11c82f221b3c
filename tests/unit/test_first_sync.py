"""The first sync of Compose says in one sentence what its environment lacks."""

from pathlib import Path

import pytest

from include.deploy import first_sync


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "AIRFLOW_API_URL"),
        ({"AIRFLOW_API_URL": "http://localhost:1"}, "AIRFLOW_ADMIN_PASSWORD_FILE"),
        (
            {"AIRFLOW_API_URL": "http://localhost:1", "AIRFLOW_ADMIN_PASSWORD_FILE": "/nowhere/password"},
            "/nowhere/password",
        ),
    ],
    ids=["no address", "no password", "no such file"],
)
def test_what_is_missing_is_named(given: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIRFLOW_API_URL", "AIRFLOW_ADMIN_PASSWORD_FILE", "AIRFLOW_ADMIN_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(first_sync.FirstSyncError, match=told):
        first_sync.main()


def test_a_file_that_is_no_text_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "password").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("AIRFLOW_ADMIN_PASSWORD_FILE", str(tmp_path / "password"))
    with pytest.raises(first_sync.FirstSyncError, match="AIRFLOW_ADMIN_PASSWORD_FILE"):
        first_sync.admin_password()
