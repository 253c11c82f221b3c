"""The clients of Kafka: their settings, and what they refuse."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Producer

Setting = str | int | float
OnError = Callable[["KafkaError"], None]

_SECRET = re.compile("key|passw|secret|token|pem|oauthbearer", re.IGNORECASE)
_QUIET = {"log_level": 0, "client.id": "code-patterns"}
"""librdkafka writes each failed attempt to connect to stderr. Outages are told once, by who uses the client."""
STATISTICS_MILLISECONDS = 2_000
"""How often a consumer tells whether any broker answers."""


@dataclass(frozen=True)
class KafkaConfig:
    """A Kafka cluster.

    :param conn_id: name of the Airflow connection, used in messages
    :param servers: the brokers that are asked for the others, such as ``broker:9092``
    :param settings: librdkafka's settings, secrets among them
    """

    conn_id: str
    servers: str
    settings: Mapping[str, Setting] = field(repr=False)

    @property
    def address(self) -> str:
        """The cluster in words, for messages."""
        return f"connection '{self.conn_id}' ({self.servers})"

    def group(self, collection: str) -> str:
        """The consumer group: that of the settings, or one of the collection's own."""
        return str(self.settings.get("group.id") or f"code-patterns-{collection}")

    def redacted(self, text: str) -> str:
        """Return a text of the client without the secrets of the settings."""
        for name, value in self.settings.items():
            if _SECRET.search(name) and len(str(value)) > 1:
                text = text.replace(str(value), "…")
        return text


def open_consumer(config: KafkaConfig, group: str, on_error: OnError, **callbacks: Any) -> "Consumer":
    """Make a consumer; it connects in the background.

    An offset is committed by whoever is done with a message, never by the client. A group without offsets begins at the
    oldest event, unless the settings say otherwise.

    :param callbacks: further callbacks of the client, by their names
    """
    from confluent_kafka import Consumer

    return Consumer({**_consumer_settings(config, group), "error_cb": on_error, **callbacks})


def open_producer(config: KafkaConfig, on_error: OnError, **settings: Setting) -> "Producer":
    """Make a producer; it connects in the background. A retry inside the client neither repeats nor reorders.

    :param settings: settings that the user does not choose
    """
    from confluent_kafka import Producer

    return Producer({**_producer_settings(config), **settings, "error_cb": on_error})


def is_fatal(error: "KafkaError") -> bool:
    """Whether the client that told this error does nothing any more, so that another one must take its place."""
    from confluent_kafka import KafkaError

    # The first call that finds it says what it is, later ones only that there was one.
    return error.fatal() or error.code() == KafkaError._FATAL


def discard(producer: "Producer") -> None:
    """Let go of a producer and of what it has not sent; who gave that has been told when this returns."""
    from confluent_kafka import KafkaException

    producer.purge()
    for _ in range(2):
        # A fatal error is raised in place of the callbacks behind it.
        with suppress(KafkaException):
            producer.flush(1)


def refusal(config: KafkaConfig) -> str:
    """Say why the client refuses the settings; empty if it takes them. It does not connect."""
    from confluent_kafka import Consumer, KafkaException, Producer

    try:
        for make, settings in ((Producer, _producer_settings(config)), (Consumer, _consumer_settings(config, "check"))):
            make({name: value for name, value in settings.items() if name != "bootstrap.servers"})
    except KafkaException as error:
        return config.redacted(error.args[0].str()).strip()
    return ""


def reason(config: KafkaConfig, error: "KafkaError") -> str:
    """An error of the client in words, without secrets."""
    return f"{config.redacted(error.str())} ({error.name()})"


def _consumer_settings(config: KafkaConfig, group: str) -> dict[str, Any]:
    return {
        **_QUIET,
        "auto.offset.reset": "earliest",
        **config.settings,
        "group.id": group,
        "statistics.interval.ms": STATISTICS_MILLISECONDS,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
    }


def _producer_settings(config: KafkaConfig) -> dict[str, Any]:
    own = {"enable.idempotence": True, "acks": "all"}
    # Two names of one setting; the client takes whichever comes last.
    settings = {name: value for name, value in config.settings.items() if name != "request.required.acks"}
    return {**_QUIET, "linger.ms": 5, **settings, **own}
