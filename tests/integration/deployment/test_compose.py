"""What docker-compose.yaml promises, whatever is changed in it later."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.fernet import Fernet

from code_patterns.hooks.embedding import EmbeddingHook
from code_patterns.hooks.kafka import PatternsKafkaHook
from code_patterns.hooks.postgres import PatternsPostgresHook
from code_patterns.hooks.qdrant import PatternsQdrantHook
from tests.conftest import ROOT

DEPLOY = ROOT / "include" / "deploy"
COMPOSE = (ROOT / "docker-compose.yaml").read_text()
MODEL: dict[str, Any] = yaml.safe_load(COMPOSE)
SERVICES: dict[str, dict[str, Any]] = MODEL["services"]
ONE_SHOTS = {"ollama-model", "airflow-init", "kafka-connection", "pattern-sync-init"}
SECRETS = {
    "AIRFLOW_ADMIN_PASSWORD",
    "AIRFLOW_API_SECRET_KEY",
    "AIRFLOW_DB_PASSWORD",
    "AIRFLOW_FERNET_KEY",
    "AIRFLOW_JWT_SECRET",
    "PATTERNS_DB_PASSWORD",
    "QDRANT_API_KEY",
}

services = pytest.mark.parametrize("service", SERVICES)


@services
def test_every_image_is_pinned_to_an_exact_version(service: str) -> None:
    images = [SERVICES[service]["image"]]
    if build := SERVICES[service].get("build"):
        images += re.findall(r"^FROM (\S+)", build["dockerfile_inline"], re.MULTILINE)
        assert len(images) == 2
    for image in images:
        assert re.search(r":(slim-)?v?\d+\.\d+(\.\d+)?(-[a-z]+(\d+\.\d+)?)?$", image), image


def test_the_image_has_the_airflow_version_of_the_lock() -> None:
    version = re.search(r"^apache-airflow==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert version
    assert f"apache/airflow:slim-{version[1]}-python3.11" in COMPOSE
    assert f"image: code-patterns-airflow:{version[1]}\n" in COMPOSE


def test_the_image_gets_what_the_tests_ran_with_and_none_of_their_tools() -> None:
    assert "--require-hashes --requirement /tmp/requirements-worker.lock" in COMPOSE
    package = re.compile(r"^[a-z0-9._-]+==\S+", re.MULTILINE)
    worker, whole = (
        set(package.findall((ROOT / name).read_text())) for name in ("requirements-worker.lock", "requirements.lock")
    )
    assert worker < whole
    wanted = "".join((ROOT / name).read_text().lower() for name in ("requirements.txt", "requirements-optional.txt"))
    requirement = re.compile(r"^([a-z0-9_-]+)[=[]", re.MULTILINE)
    names = {line.split("==")[0] for line in worker}
    assert set(requirement.findall(wanted)) | {"apache-airflow"} <= names
    tools = set(requirement.findall((ROOT / "requirements-dev.txt").read_text().lower()))
    # Airflow itself needs psutil.
    assert names & tools == {"apache-airflow", "psutil"}


@services
def test_every_port_is_on_the_loopback_interface(service: str) -> None:
    for port in SERVICES[service].get("ports", []):
        assert str(port).startswith("127.0.0.1:"), port


@services
def test_every_service_that_keeps_running_has_a_health_check(service: str) -> None:
    definition = SERVICES[service]
    if service in ONE_SHOTS:
        assert definition["restart"] == "no"
        assert "healthcheck" not in definition
    else:
        assert definition["restart"] == "unless-stopped"
        assert {"test", "interval", "timeout", "retries", "start_period"} <= set(definition["healthcheck"])


@services
def test_the_start_order_waits_for_health_and_for_finished_one_shots(service: str) -> None:
    for name, dependency in SERVICES[service].get("depends_on", {}).items():
        wanted = "service_completed_successfully" if name in ONE_SHOTS else "service_healthy"
        assert dependency["condition"] == wanted, name


def test_every_secret_is_required_and_stands_empty_in_the_example() -> None:
    required = set(re.findall(r"\$\{(\w+):\?run \"sh include/deploy/new-env.sh\" to make \.env\}", COMPOSE))
    mentioned = set(re.findall(r"(?<!\$)\$\{?(\w+)", COMPOSE))
    optional = set(re.findall(r"\$\{(\w+):-\d+\}", COMPOSE))
    assert required == SECRETS
    assert mentioned == required | optional
    example = (ROOT / ".env.example").read_text()
    assert set(re.findall(r"^(\w+)=$", example, re.MULTILINE)) == SECRETS
    assert set(re.findall(r"^#(\w+)=\d+$", example, re.MULTILINE)) == optional
    assert "/.env" in (ROOT / ".gitignore").read_text().splitlines()


@services
def test_no_secret_has_a_value_in_the_file(service: str) -> None:
    for name, value in (SERVICES[service].get("environment") or {}).items():
        if re.search(r"PASSWORD$|SECRET|_KEY$|SQL_ALCHEMY_CONN$", name):
            assert ":?" in str(value), name


def test_secrets_go_only_where_they_are_needed() -> None:
    def users(secret: str) -> set[str]:
        return {name for name, service in SERVICES.items() if f"${{{secret}:" in json.dumps(service)}

    assert users("AIRFLOW_ADMIN_PASSWORD") == {"airflow-apiserver", "pattern-sync-init"}
    assert users("PATTERNS_DB_PASSWORD") == {"patterns-db", "airflow-init"}
    assert users("QDRANT_API_KEY") == {"qdrant", "airflow-init"}


@services
def test_data_lives_in_named_volumes_and_the_bundle_is_read_only(service: str) -> None:
    for volume in SERVICES[service].get("volumes", []):
        source, target, *options = volume.split(":")
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
            assert target == f"/opt/airflow/bundle/{source[2:]}"
            assert options == ["ro"]
        else:
            assert source in MODEL["volumes"], source


def test_the_mounted_folders_are_the_bundle_that_airflow_is_told_of() -> None:
    environment = SERVICES["airflow-scheduler"]["environment"]
    (bundle,) = json.loads(environment["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    assert bundle["kwargs"] == {"path": "/opt/airflow/bundle"}
    assert environment["AIRFLOW__CORE__PLUGINS_FOLDER"] == "/opt/airflow/bundle/plugins"
    for command in (SERVICES[name].get("command") for name in SERVICES):
        if isinstance(command, list) and command[-1].startswith("/opt/airflow/bundle/"):
            assert (ROOT / Path(command[-1]).relative_to("/opt/airflow/bundle")).is_file()


def printed_connections(password: str) -> dict[str, dict[str, Any]]:
    """What airflow-init imports."""
    environment = os.environ | {"PATTERNS_DB_PASSWORD": password, "QDRANT_API_KEY": "key"}
    command = [sys.executable, DEPLOY / "connections.py"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    connections: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return connections


def test_the_connections_are_those_that_the_dags_use_and_name_the_services() -> None:
    connections = printed_connections('pa"ss\\word')
    assert set(connections) == {
        hook.default_conn_name for hook in (PatternsPostgresHook, PatternsQdrantHook, EmbeddingHook)
    }
    for connection in connections.values():
        assert connection["host"] in SERVICES
    assert connections["patterns_postgres"]["password"] == 'pa"ss\\word'


def test_the_connections_make_sense_to_the_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, connection in printed_connections("password").items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))
    postgres = PatternsPostgresHook().config
    database = SERVICES["patterns-db"]["environment"]
    assert (postgres.host, postgres.database, postgres.user) == (
        "patterns-db",
        database["POSTGRES_DB"],
        database["POSTGRES_USER"],
    )
    qdrant = PatternsQdrantHook().config
    assert (qdrant.url, qdrant.api_key) == ("http://qdrant:6333", "key")
    embedding = EmbeddingHook().config
    assert (embedding.base_url, embedding.model) == ("http://ollama:11434", "nomic-embed-text")
    assert embedding.model in SERVICES["ollama-model"]["command"][0]


def test_kafka_and_its_connection_come_with_the_profile_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {name for name, service in SERVICES.items() if "profiles" in service} == {"kafka", "kafka-connection"}
    assert all(service.get("profiles", ["stream"]) == ["stream"] for service in SERVICES.values())
    for name in SERVICES.keys() - {"kafka-connection"}:
        assert "kafka" not in SERVICES[name].get("depends_on", {}), name
    script = (DEPLOY / "kafka-connection.sh").read_text()
    [(name, connection)] = json.loads(script.split("<< 'EOF'\n")[1].split("EOF\n")[0]).items()
    monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))
    config = PatternsKafkaHook().config
    assert config
    host, port = config.servers.split(":")
    assert host in SERVICES
    assert f"INSIDE://{host}:{port}," in SERVICES[host]["environment"]["KAFKA_ADVERTISED_LISTENERS"]


def test_the_variables_are_known_and_have_their_defaults() -> None:
    assert json.loads((DEPLOY / "variables.json").read_text()) == {
        "pattern_sync_batch_size": "100",
        "pattern_sync_delay_seconds": "0",
        "pattern_sync_max_delete_fraction": "0.2",
        "pattern_verify_nights": "1",
        "patterns_collection": "code_patterns",
        "patterns_patience_seconds": "300",
        "pattern_stream_linger_seconds": "600",
        "pattern_stream_max_minutes": "60",
        "pattern_stream_poll_milliseconds": "250",
        "quality_backfill_batch_size": "100",
        "quality_backfill_delay_seconds": "0.5",
        "quality_onex_weight": "0.2",
        "pattern_run_retention_days": "90",
        "pattern_tombstone_retention_days": "30",
        "pattern_collection_retention_days": "30",
        "pattern_trace_retention_days": "90",
        "pattern_backup_keep": "3",
    }


def test_the_new_env_has_a_different_secret_for_every_name_and_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "include").mkdir()
    shutil.copytree(DEPLOY, tmp_path / "include" / "deploy")
    shutil.copy(ROOT / ".env.example", tmp_path)
    command = ["sh", "include/deploy/new-env.sh"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    made = (tmp_path / ".env").read_text()
    values = dict(re.findall(r"^(\w+)=(.+)$", made, re.MULTILINE))
    assert set(values) == SECRETS
    assert len(set(values.values())) == len(SECRETS)
    assert min(map(len, values.values())) >= 44
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    Fernet(values["AIRFLOW_FERNET_KEY"])
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 1
    assert "stays as it is" in again.stderr
    assert (tmp_path / ".env").read_text() == made
    assert sorted(path.name for path in tmp_path.iterdir()) == [".env", ".env.example", "include"]
