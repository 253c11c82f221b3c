"""The token that Prometheus logs in with is kept in a file."""

import json
import socket
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from include.monitoring import token_file


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A server that answers as Airflow does, and the settings that name it."""
    state: dict[str, Any] = {"status": 201, "token": "first", "answer": b"", "asked": []}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state["asked"].append((self.path, json.loads(body)))
            self.send_response(state["status"])
            self.end_headers()
            self.wfile.write(state["answer"] or json.dumps({"access_token": state["token"]}).encode())

        def log_message(self, *arguments: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    (tmp_path / "password").write_text("a secret word\n")
    state["file"] = tmp_path / "token"
    monkeypatch.setenv("AIRFLOW_API_URL", f"http://127.0.0.1:{server.server_address[1]}/")
    monkeypatch.setenv("AIRFLOW_METRICS_USER", "prometheus")
    monkeypatch.setenv("AIRFLOW_METRICS_PASSWORD_FILE", str(tmp_path / "password"))
    monkeypatch.setenv("AIRFLOW_METRICS_TOKEN_FILE", str(state["file"]))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def refresh() -> str:
    """Fetch a token once, with the settings of the environment."""
    return token_file.refresh(token_file.Settings.of_environment())


def test_the_file_holds_the_newest_token_and_others_may_not_read_it(airflow: dict[str, Any]) -> None:
    assert refresh() == ""
    assert airflow["file"].read_text() == "first"
    assert stat.S_IMODE(airflow["file"].stat().st_mode) & 0o007 == 0
    assert airflow["asked"] == [("/auth/token", {"username": "prometheus", "password": "a secret word"})]
    airflow["token"] = "second"
    assert refresh() == ""
    assert airflow["file"].read_text() == "second"
    assert [path.name for path in airflow["file"].parent.iterdir() if path.name.startswith("token")] == ["token"]


@pytest.mark.parametrize(("status", "told"), [(401, "refuses the user 'prometheus'"), (503, "answered 503")])
def test_a_failure_is_told_without_the_password_and_keeps_the_token(
    airflow: dict[str, Any], status: int, told: str
) -> None:
    refresh()
    airflow["status"] = status
    problem = refresh()
    assert told in problem
    assert "a secret word" not in problem
    assert airflow["file"].read_text() == "first"


@pytest.mark.parametrize("answer", [b'{"access_token": null}', b"[]", b"<html>", b"\xff", b""])
def test_an_answer_without_a_token_is_told(airflow: dict[str, Any], answer: bytes) -> None:
    airflow["token"], airflow["answer"] = None, answer
    assert refresh().startswith("No token of 'prometheus' from http://127.0.0.1")
    assert not airflow["file"].exists()


def test_a_missing_password_file_is_told(airflow: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_METRICS_PASSWORD_FILE", "/nowhere/password")
    assert "/nowhere/password" in refresh()


def test_a_server_that_speaks_no_http_is_told(airflow: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"220 mail.example.org\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        monkeypatch.setenv("AIRFLOW_API_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert refresh().startswith("No token of 'prometheus'")
        thread.join()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("AIRFLOW_API_URL", "", "Set AIRFLOW_API_URL"),
        ("AIRFLOW_METRICS_PASSWORD_FILE", "", "Set AIRFLOW_METRICS_PASSWORD_FILE"),
        ("AIRFLOW_METRICS_TOKEN_SECONDS", "soon", "AIRFLOW_METRICS_TOKEN_SECONDS is 'soon'"),
        ("AIRFLOW_METRICS_TOKEN_SECONDS", "0", "AIRFLOW_METRICS_TOKEN_SECONDS is '0'"),
    ],
)
def test_a_missing_setting_ends_it_with_one_sentence(
    airflow: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=told):
        token_file.main()
