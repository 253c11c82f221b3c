"""The hook of Kafka."""

from functools import cached_property

from airflow.sdk import BaseHook

from code_patterns.events.client import KafkaConfig
from code_patterns.events.connection import kafka_config
from code_patterns.events.topics import Events, Topics
from code_patterns.hooks.airflow_connection import find_connection
from code_patterns.hooks.secrets_backends import read_variable
from code_patterns.params import choose


class PatternsKafkaHook(BaseHook):
    """A connection of type ``kafka``, and the topics. Without the connection there are no events.

    The form and the Test button are those of Airflow's own provider.

    :param kafka_config_id: name of the Airflow connection
    """

    conn_name_attr = "kafka_config_id"
    default_conn_name = "patterns_kafka"
    conn_type = "kafka"
    hook_name = "Apache Kafka"

    def __init__(self, kafka_config_id: str = default_conn_name) -> None:
        super().__init__()
        self.kafka_config_id = kafka_config_id

    @cached_property
    def config(self) -> KafkaConfig | None:
        """The checked connection; ``None`` if it is not defined.

        :raises ConfigurationError: it names no broker, or Kafka's client refuses a setting
        """
        connection = find_connection(self.kafka_config_id)
        return kafka_config(connection) if connection else None

    @cached_property
    def events(self) -> Events | None:
        """The cluster and its topics; ``None`` if the connection is not defined.

        :raises ConfigurationError: see :attr:`config`; or a Variable names no topic
        """
        if self.config is None:
            return None
        return Events(self.config, choose(Topics, {}, read_variable))
