"""Say once that Kafka is away, and once that it is back."""

import logging
from typing import TYPE_CHECKING

import orjson

from code_patterns.codes import Code
from code_patterns.events.client import KafkaConfig, reason

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

log = logging.getLogger(__name__)


class Outage:
    """What is known about one consumer's connection to Kafka.

    The client tells each failed attempt to connect, several times a second, also while another broker works. Its
    statistics say whether any does; a log needs one line.

    :param config: the cluster
    """

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._reason = ""
        self._away = False
        self._told: set[str] = set()

    def failed(self, error: "KafkaError") -> None:
        """Remember why an attempt to connect failed; a callback of the client."""
        # "All brokers are down" names no cause; the line before it does.
        if not self._reason or not error.name().startswith("_ALL"):
            self._reason = reason(self._config, error)

    def seen(self, statistics: str) -> None:
        """Judge by the client's statistics; a callback of the client."""
        works = any(broker["state"] == "UP" for broker in orjson.loads(statistics)["brokers"].values())
        if works and self._away:
            log.info("Kafka at %s is back.", self._config.address)
        elif self._reason and not works and not self._away:
            log.warning(
                "Kafka at %s is away: %s. Rows are found without events; events are read later. [%s]",
                self._config.address,
                self._reason,
                Code.KAFKA_AWAY,
            )
        if works:
            self._away, self._reason = False, ""
        elif self._reason:
            self._away = True

    def refused(self, error: "KafkaError", meaning: str) -> None:
        """Say what the cluster refuses, once.

        :param meaning: what that means and what to do
        """
        if error.name() not in self._told:
            self._told.add(error.name())
            said = reason(self._config, error)
            log.warning("Kafka at %s: %s. %s [%s]", self._config.address, said, meaning, Code.KAFKA_AWAY)
