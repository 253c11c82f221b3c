"""Check the Airflow connection of Kafka and make a configuration of it."""

from collections.abc import Mapping
from typing import Any

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.events.client import KafkaConfig, refusal
from code_patterns.servers.connection_models import ConnectionFields, decoded_extra

SERVERS = "bootstrap.servers"
_EXAMPLE = '{"bootstrap.servers": "broker:9092"}'


def kafka_config(connection: ConnectionFields) -> KafkaConfig:
    """Check a connection. As in Airflow's own form, everything stands in the extra, by librdkafka's names.

    :raises ConfigurationError: it names no broker, or Kafka's client refuses a setting
    """
    conn_id = connection.conn_id
    for name, setting in (("login", "sasl.username"), ("password", "sasl.password"), ("host", SERVERS)):
        if getattr(connection, name):
            raise ConfigurationError(
                Code.CONNECTION_WRONG,
                f"Connection '{conn_id}' has the field {name}, which Kafka's client does not read. Set its extra "
                f"'{setting}' instead.",
            )
    settings = decoded_extra(connection, _EXAMPLE)
    _check_values(conn_id, settings)
    servers = settings.get(SERVERS)
    if not isinstance(servers, str) or "@" in servers:
        raise ConfigurationError(
            Code.CONNECTION_WRONG,
            f"Connection '{conn_id}' names no broker. Set its extra '{SERVERS}' to hosts and ports, for example: "
            f"{_EXAMPLE}.",
        )
    config = KafkaConfig(conn_id, servers, settings)
    if reason := refusal(config):
        raise ConfigurationError(
            Code.CONNECTION_WRONG, f"Kafka's client refuses the extra of connection '{conn_id}': {reason}. Correct it."
        )
    return config


def _check_values(conn_id: str, settings: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        if name.endswith("_cb") or name == "on_commit":
            raise ConfigurationError(
                Code.CONNECTION_WRONG,
                f"Connection '{conn_id}' has the extra '{name}', which names a function. Functions are not run here: "
                "remove it. Tokens can come from librdkafka itself, by the extra 'sasl.oauthbearer.method' = 'oidc'.",
            )
        if not isinstance(value, str | int | float):
            raise ConfigurationError(
                Code.CONNECTION_WRONG,
                f"Connection '{conn_id}' has extra '{name}' of another form. It must be a text, a number, true or "
                "false; set it there.",
            )
