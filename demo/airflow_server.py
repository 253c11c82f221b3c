"""Airflow with the checkout as its DAG bundle: settings, environment, programs."""

import configparser
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from code_patterns.servers.postgres import PostgresConfig
from demo import HOME, PLUGINS, ROOT
from demo.processes import Programs, inherited_environment
from demo.secrets_file import Secrets, write_private

LOGS = HOME / "logs"
ENVIRONMENT_FILE = HOME / "env"
POOL = "patterns_sync"
USER = "admin"

_BIN = Path(sys.executable).parent


class AirflowServer:
    """Airflow's components as processes of this machine that listen on loopback only.

    They are started one by one: ``airflow standalone`` also serves task logs on a fixed port of every network
    interface.

    :param programs: gets the processes
    :param secrets: passwords and keys
    :param metadata: Airflow's own database
    :param port: port of the UI and the APIs
    :param scheduled: whether the DAGs' own schedules start runs
    :param home: the folder for everything that it makes
    :param settings: settings that replace the demo's, by section
    :param environment: variables that replace the demo's
    """

    def __init__(
        self,
        programs: Programs,
        secrets: Secrets,
        metadata: PostgresConfig,
        *,
        port: int,
        scheduled: bool,
        home: Path = HOME,
        settings: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.home = home / "airflow"
        self.logs = home / "logs"
        self._environment_file = home / ENVIRONMENT_FILE.name
        self._passwords = self.home / "passwords.json"
        self._replaced = settings
        self._variables = environment
        self._programs = programs
        self._secrets = secrets
        self._metadata = metadata
        self._port = port
        self._scheduled = scheduled

    @property
    def url(self) -> str:
        """Address of the UI and, below ``/api/v2``, of the REST API."""
        return f"http://127.0.0.1:{self._port}"

    def prepare(self) -> subprocess.Popen[bytes]:
        """Write the settings and start to make the metadata database.

        :return: the process that makes it; call :meth:`start` after it has exited with 0
        """
        self.home.mkdir(parents=True, exist_ok=True)
        write_private(self._passwords, json.dumps({USER: self._secrets.login}))
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_dict(
            {
                # Airflow interpolates its settings: a percent sign in a path must be doubled.
                section: {name: value.replace("%", "%%") for name, value in options.items()}
                for section, options in self._merged().items()
            }
        )
        with (self.home / "airflow.cfg").open("w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            parser.write(file)
        write_private(self._environment_file, _environment_file(self._environment()))
        return self.run("db", "migrate")

    def start(self, *, triggerer: bool) -> None:
        """Start the components.

        :param triggerer: whether to run the triggerer too, whose watcher starts the stream
        """
        self.run("api-server")
        self.run("dag-processor")
        self.run("scheduler", "--skip-serve-logs")
        if triggerer:
            self.run("triggerer", "--skip-serve-logs")

    def run(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start ``airflow`` with a command, such as ``scheduler``."""
        return self._programs.start(
            [_BIN / "airflow", *arguments],
            log=self.logs / f"{arguments[0]}.log",
            environment={**inherited_environment(), **self._environment()},
            cwd=self.home,
        )

    def _merged(self) -> Mapping[str, Mapping[str, str]]:
        own = self._settings()
        return {
            section: {**own.get(section, {}), **self._replaced.get(section, {})}
            for section in {**own, **self._replaced}
        }

    def _settings(self) -> Mapping[str, Mapping[str, str]]:
        metadata = self._metadata
        bundle = {
            "name": "code-patterns",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(ROOT)},
        }
        return {
            "core": {
                "executor": "LocalExecutor",
                "parallelism": "4",
                "dags_folder": str(ROOT / "dags"),
                "plugins_folder": str(PLUGINS),
                "load_examples": "False",
                "fernet_key": self._secrets.fernet_key,
                "simple_auth_manager_users": f"{USER}:admin",
                "simple_auth_manager_passwords_file": str(self._passwords),
                "execution_api_server_url": f"{self.url}/execution/",
                "test_connection": "Enabled",
            },
            "database": {
                "sql_alchemy_conn": f"postgresql+psycopg2://{metadata.user}:{metadata.password}"
                f"@{metadata.host}:{metadata.port}/{metadata.database}"
            },
            "dag_processor": {"dag_bundle_config_list": json.dumps([bundle]), "parsing_processes": "2"},
            "scheduler": {
                "use_job_schedule": str(self._scheduled),
                # The default of one second suits busy installations; runs of a demo follow one another.
                "scheduler_idle_sleep_time": "0.2",
            },
            "api": {
                "host": "127.0.0.1",
                "port": str(self._port),
                "base_url": self.url,
                "secret_key": self._secrets.session_secret,
            },
            "api_auth": {"jwt_secret": self._secrets.jwt_secret},
            # A task's supervisor may notice the end of its task as late as this, and stopping waits for it.
            "workers": {"min_heartbeat_interval": "1"},
            "logging": {
                "base_log_folder": str(self.logs / "tasks"),
                "dag_processor_child_process_log_directory": str(self.logs / "dag_processor"),
                "colored_console_log": "False",
                # Airflow warns in every task log about values that are shorter.
                "min_length_masked_secret": "1",
            },
        }

    def _environment(self) -> dict[str, str]:
        """Return the environment of an ``airflow`` command; the other settings are in ``airflow.cfg``."""
        environment = {
            "AIRFLOW_HOME": str(self.home),
            "PATTERNS_POOL": POOL,
            "PATTERNS_HOURLY_DEADLINE_MINUTES": "50",
            # Here the API server finds the bundle's connection types for its forms.
            "PYTHONPATH": str(PLUGINS),
            # The components reach each other on loopback, never through a proxy.
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            # A process title may overwrite the environment, by which leftovers are found.
            "SPT_NOENV": "1",
        }
        if sys.platform == "darwin":
            # Airflow forks after its parents have used system libraries that do not allow it.
            environment["OBJC_DISABLE_INITIALIZE_FORK_SAFETY"] = "YES"
        return {**environment, **self._variables}


def _environment_file(environment: Mapping[str, str]) -> str:
    exports = f'export PATH={shlex.quote(str(_BIN))}:"$PATH"\n' + "".join(
        f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()
    )
    return (
        "# For a shell that is to run airflow commands against the demo: source this file.\n"
        "# Settings of another Airflow would win over the demo's own, so they go first.\n"
        "for name in $(env | sed -n 's/^\\(AIRFLOW_[A-Za-z0-9_]*\\)=.*/\\1/p'); do unset \"$name\"; done\n"
    ) + exports
