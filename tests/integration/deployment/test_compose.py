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
from cryptography.x509 import DNSName, IPAddress, SubjectAlternativeName, load_pem_x509_certificate

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
TLS: dict[str, Any] = yaml.safe_load((ROOT / "compose.tls.yaml").read_text())
SECRETS = {
    "airflow_admin_password",
    "airflow_api_secret_key",
    "airflow_db_password",
    "airflow_fernet_key",
    "airflow_jwt_secret",
    "airflow_metrics_password",
    "grafana_admin_password",
    "patterns_db_password",
    "qdrant_api_key",
}
WRITABLE = {"kafka": "at its start the image writes its configuration and logs below /opt/kafka"}
"""Services whose root file system is not read-only, and why."""
GROWS = {"QDRANT_MEMORY", "OLLAMA_MEMORY", "OLLAMA_CPUS", "TASKS_MEMORY"}

services = pytest.mark.parametrize("service", SERVICES)


@services
def test_every_image_is_pinned_to_an_exact_version(service: str) -> None:
    images = [SERVICES[service]["image"]]
    if inline := SERVICES[service].get("build", {}).get("dockerfile_inline"):
        images += re.findall(r"^FROM (\S+)", inline, re.MULTILINE)
        assert len(images) == 2
    for image in images:
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-[a-z]+)?$", image), image


def test_the_image_has_the_airflow_version_of_the_lock() -> None:
    version = re.search(r"^apache-airflow==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert version
    assert f"image: code-patterns-airflow:{version[1]}\n" in COMPOSE


def test_the_image_gets_what_the_tests_ran_with_and_none_of_their_tools() -> None:
    assert "ARG LOCK=requirements-worker.lock\n" in (ROOT / "deploy" / "Dockerfile").read_text()
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


@services
def test_no_service_runs_as_root(service: str) -> None:
    user = str(SERVICES[service]["user"])
    assert user
    assert not re.match(r"(0|root)(:|$)", user)


@services
def test_no_service_has_a_capability_or_can_get_one(service: str) -> None:
    assert SERVICES[service]["cap_drop"] == ["ALL"]
    assert SERVICES[service]["security_opt"] == ["no-new-privileges:true"]
    assert not {"cap_add", "privileged", "pid", "network_mode", "devices"} & set(SERVICES[service])


@services
def test_the_root_file_system_is_read_only(service: str) -> None:
    assert SERVICES[service]["read_only"] is (service not in WRITABLE)


def test_every_exception_is_for_a_service_that_exists() -> None:
    assert set(WRITABLE) <= set(SERVICES)


@services
def test_every_service_has_limits_of_memory_processors_and_processes(service: str) -> None:
    limits = SERVICES[service]["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory", "pids"}
    memory = re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", limits["memory"])
    assert re.fullmatch(r"\d+[mg]", memory)
    # Docker refuses more processors than the machine has, and docs/deploy.md asks for two.
    assert float(re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", limits["cpus"])) <= 2


def test_every_secret_is_a_file_and_every_setting_stands_in_the_example() -> None:
    assert {name: secret["file"] for name, secret in MODEL["secrets"].items()} == {
        name: f"./secrets/{name}" for name in SECRETS
    }
    mentioned = set(re.findall(r"(?<!\$)\$\{?(\w+)", COMPOSE))
    optional = set(re.findall(r"\$\{(\w+):-\w+\}", COMPOSE))
    assert mentioned == optional
    example = set(re.findall(r"^#(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert example == optional | {"COMPOSE_FILE"}
    assert {name for name in optional if not name.endswith("_PORT")} == GROWS
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/.env", "/secrets/"} <= set(ignored)
    assert "secrets" in (ROOT / ".dockerignore").read_text().splitlines()


@services
def test_no_secret_is_in_the_environment_of_a_service(service: str) -> None:
    for name, value in (SERVICES[service].get("environment") or {}).items():
        if re.search(r"PASSWORD|SECRET|_KEY|SQL_ALCHEMY_CONN", name) and not name.endswith("PASSWORDS_FILE"):
            assert "/run/secrets/" in str(value), name
            assert name.endswith(("_FILE", "_CMD")), name


@services
def test_a_service_gets_the_secrets_that_it_reads_and_no_other(service: str) -> None:
    definition = SERVICES[service]
    own = {key: value for key, value in definition.items() if key != "secrets"}
    named = set(re.findall(r"/run/secrets/(\w+)", json.dumps(own)))
    assert set(definition.get("secrets", [])) == named


def test_secrets_go_only_where_they_are_needed() -> None:
    def users(secret: str) -> set[str]:
        return {name for name, service in SERVICES.items() if secret in service.get("secrets", [])}

    assert users("airflow_admin_password") == {"airflow-apiserver", "pattern-sync-init"}
    assert users("airflow_metrics_password") == {"airflow-apiserver", "metrics-token"}
    assert users("grafana_admin_password") == {"grafana"}
    assert users("patterns_db_password") == {"patterns-db", "airflow-init"}
    assert users("qdrant_api_key") == {"qdrant", "airflow-init"}


@services
def test_data_lives_in_named_volumes_and_the_bundle_is_read_only(service: str) -> None:
    for volume in SERVICES[service].get("volumes", []):
        source, target, *options = volume.split(":")
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
            assert options == ["ro"]
            if "bundle" in target:
                assert target == f"/opt/airflow/bundle/{source[2:]}"
        else:
            assert source in MODEL["volumes"], source


def test_the_mounted_folders_are_the_bundle_that_airflow_is_told_of() -> None:
    environment = SERVICES["airflow-scheduler"]["environment"]
    (bundle,) = json.loads(environment["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    assert bundle["kwargs"] == {"path": "/opt/airflow/bundle"}
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    assert "AIRFLOW__CORE__PLUGINS_FOLDER=/opt/airflow/bundle/plugins" in dockerfile
    assert "PYTHONPATH=/opt/airflow/bundle/plugins" in dockerfile
    for command in (SERVICES[name].get("command") for name in SERVICES):
        if isinstance(command, list) and command[-1].startswith("/opt/airflow/bundle/"):
            assert (ROOT / Path(command[-1]).relative_to("/opt/airflow/bundle")).is_file()


def printed_connections(folder: Path, password: str, ca_file: str = "") -> dict[str, dict[str, Any]]:
    """What airflow-init imports."""
    (folder / "patterns_db_password").write_text(password)
    (folder / "qdrant_api_key").write_text("key\n")
    files = {f"{name.upper()}_FILE": str(folder / name) for name in ("patterns_db_password", "qdrant_api_key")}
    command = [sys.executable, DEPLOY / "connections.py"]
    environment = os.environ | files | {"PATTERNS_CA_FILE": ca_file}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    connections: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return connections


def test_the_connections_are_those_that_the_dags_use_and_name_the_services(tmp_path: Path) -> None:
    connections = printed_connections(tmp_path, 'pa"ss\\word')
    assert set(connections) == {
        hook.default_conn_name for hook in (PatternsPostgresHook, PatternsQdrantHook, EmbeddingHook)
    }
    for connection in connections.values():
        assert connection["host"] in SERVICES
    assert connections["patterns_postgres"]["password"] == 'pa"ss\\word'


def test_the_connections_make_sense_to_the_hooks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, connection in printed_connections(tmp_path, "password").items():
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


def test_what_only_some_need_comes_with_a_profile() -> None:
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {
        "kafka": ["stream"],
        "kafka-connection": ["stream"],
        "metrics-token": ["monitoring"],
        "prometheus": ["monitoring"],
        "grafana": ["monitoring"],
    }
    for name in SERVICES.keys() - profiles:
        assert not set(SERVICES[name].get("depends_on", {})) & set(profiles), name


def test_the_connection_names_the_kafka_of_compose(monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    (tmp_path / "include").mkdir()
    shutil.copytree(DEPLOY, tmp_path / "include" / "deploy")
    shutil.copy(ROOT / ".env.example", tmp_path)
    return tmp_path


def run_script(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", f"include/deploy/{name}", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def secrets_of(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (folder / "secrets").iterdir()}


def test_the_new_secrets_differ_and_are_never_overwritten(copy: Path) -> None:
    assert run_script(copy, "new-env.sh").returncode == 0
    values = secrets_of(copy)
    assert set(values) == SECRETS
    assert len(set(values.values())) == len(SECRETS)
    assert min(map(len, values.values())) >= 44
    assert (copy / "secrets").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (copy / "secrets").iterdir()} == {0o444}
    Fernet(values["airflow_fernet_key"])
    assert (copy / ".env").read_text() == (copy / ".env.example").read_text()
    again = run_script(copy, "new-env.sh")
    assert again.returncode == 1
    assert "stays as it is" in again.stderr
    assert secrets_of(copy) == values
    assert sorted(path.name for path in copy.iterdir()) == [".env", ".env.example", "include", "secrets"]


def test_secrets_of_an_older_env_are_kept(copy: Path) -> None:
    older = "AIRFLOW_PORT=8081\nQDRANT_API_KEY=from-before\nAIRFLOW_DB_PASSWORD=\n"
    (copy / ".env").write_text(older)
    done = run_script(copy, "new-env.sh")
    values = secrets_of(copy)
    assert values["qdrant_api_key"] == "from-before"
    assert len(values["airflow_db_password"]) == 48
    assert (copy / ".env").read_text() == older
    assert "remove their lines" in done.stdout


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("QDRANT_API_KEY=a'b\"c", "a'b\"c"),
        ('QDRANT_API_KEY="a b#c" # why', "a b#c"),
        ("QDRANT_API_KEY='a \"b'", 'a "b'),
        ("QDRANT_API_KEY=a#b  # why\r", "a#b"),
        ("export QDRANT_API_KEY=abc", "abc"),
        ("QDRANT_API_KEY=old\nQDRANT_API_KEY=new", "new"),
        ("QDRANT_API_KEY=a=b/c+d==", "a=b/c+d=="),
    ],
)
def test_an_older_env_is_read_as_compose_reads_it(copy: Path, line: str, value: str) -> None:
    (copy / ".env").write_bytes(f"AIRFLOW_PORT=8081\n{line}\n".encode())
    assert run_script(copy, "new-env.sh").returncode == 0
    assert secrets_of(copy)["qdrant_api_key"] == value


def test_the_certificates_are_for_the_services_and_are_renewed_under_the_same_authority(copy: Path) -> None:
    refused = run_script(copy, "new-certificates.sh")
    assert refused.returncode == 1
    assert "new-env.sh" in refused.stderr
    run_script(copy, "new-env.sh")
    given = ("db.example.org", "192.0.2.7", "2001:db8::7")
    assert run_script(copy, "new-certificates.sh", *given).returncode == 0
    files = {secret["file"] for secret in TLS["secrets"].values()}
    assert all((copy / file).stat().st_mode & 0o777 == 0o444 for file in files)
    assert (copy / "secrets" / "ca.key").stat().st_mode & 0o777 == 0o600
    authority = load_pem_x509_certificate((copy / "secrets" / "ca.crt").read_bytes())
    first = {}
    for service in ("patterns-db", "qdrant"):
        first[service] = load_pem_x509_certificate((copy / "secrets" / f"{service}.crt").read_bytes())
        names = first[service].extensions.get_extension_for_class(SubjectAlternativeName).value
        assert names.get_values_for_type(DNSName) == [service, "localhost", "db.example.org"]
        assert [str(address) for address in names.get_values_for_type(IPAddress)] == ["127.0.0.1", *given[1:]]
        first[service].verify_directly_issued_by(authority)
    assert run_script(copy, "new-certificates.sh").returncode == 0
    for service, before in first.items():
        renewed = load_pem_x509_certificate((copy / "secrets" / f"{service}.crt").read_bytes())
        assert renewed.serial_number != before.serial_number
        renewed.verify_directly_issued_by(authority)


def test_with_tls_the_connections_check_the_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.crt").write_text("")
    for name, connection in printed_connections(tmp_path, "password", str(tmp_path / "ca.crt")).items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))
    options = PatternsPostgresHook().config.options
    assert (options["sslmode"], options["sslrootcert"]) == ("verify-full", str(tmp_path / "ca.crt"))
    qdrant = PatternsQdrantHook().config
    assert (qdrant.url, qdrant.ca_file) == ("https://qdrant:6333", str(tmp_path / "ca.crt"))


def test_tls_changes_only_services_that_exist_and_gives_each_what_it_reads() -> None:
    for name, service in TLS["services"].items():
        assert name in SERVICES
        named = set(re.findall(r"/run/secrets/(\w+)", json.dumps({**service, "secrets": []})))
        assert named <= set(service["secrets"]) <= set(TLS["secrets"])
    assert TLS["services"]["airflow-init"]["environment"] == {"PATTERNS_CA_FILE": "/run/secrets/patterns_ca"}
    readers = {name for name, service in TLS["services"].items() if "patterns_ca" in service["secrets"]}
    assert {"airflow-apiserver", "airflow-scheduler", "airflow-triggerer"} <= readers
