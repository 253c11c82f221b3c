"""The connection of Kafka: what is taken, what is refused and how it is said, and that secrets stay where they are."""

import json
from typing import Any

import pytest

from code_patterns.errors import ConfigurationError
from code_patterns.events.client import KafkaConfig, open_consumer, open_producer
from code_patterns.events.connection import kafka_config
from code_patterns.events.topics import Topics
from code_patterns.params import choose
from code_patterns.servers.connection_models import ConnectionFields
from tests.support.leaks import LEAKS, secret

SERVERS = {"bootstrap.servers": "127.0.0.1:9"}


def checked(extra: Any, **fields: Any) -> KafkaConfig:
    return kafka_config(ConnectionFields("patterns_kafka", extra=json.dumps(extra), **fields))


def test_everything_stands_in_the_extra() -> None:
    config = checked({**SERVERS, "security.protocol": "SASL_SSL", "sasl.mechanisms": "SCRAM-SHA-512", **LOGIN})
    assert config.address == "connection 'patterns_kafka' (127.0.0.1:9)"
    assert config.group("code_patterns") == "code-patterns-code_patterns"
    assert checked({**SERVERS, "group.id": "archon-intelligence"}).group("code_patterns") == "archon-intelligence"


LOGIN = {"sasl.username": "reader", "sasl.password": secret("kafka")}


@pytest.mark.parametrize(
    ("extra", "fields", "message"),
    [
        ({}, {}, "names no broker. Set its extra 'bootstrap.servers'"),
        ({"bootstrap.servers": 9092}, {}, "names no broker"),
        ({"bootstrap.servers": "user:word@host:9092"}, {}, "names no broker"),
        ([], {}, 'is not a JSON object. Correct it, for example: {"bootstrap.servers"'),
        (SERVERS, {"password": secret("field")}, "has the field password, which Kafka's client does not read"),
        (SERVERS, {"host": "broker"}, "has the field host"),
        ({**SERVERS, "bootstrap.server": "x"}, {}, 'No such configuration property: "bootstrap.server"'),
        ({**SERVERS, "security.protocol": "TLS"}, {}, 'Invalid value "TLS" for configuration property'),
        ({**SERVERS, "error_cb": "module.function"}, {}, "'error_cb', which names a function"),
        ({**SERVERS, "acks": [1]}, {}, "has extra 'acks' of another form"),
        ({**SERVERS, "security.protocol": "SSL", "ssl.ca.location": "/missing"}, {}, "ssl.ca.location failed"),
        ({**SERVERS, "security.protocol": "SSL", "ssl.key.pem": secret("pem")}, {}, "ssl.key.pem failed"),
        ({**SERVERS, "auto.offset.reset": "never"}, {}, "Invalid value"),
        ({**SERVERS, "session.timeout.ms": 400_000}, {}, "max.poll.interval.ms"),
    ],
)
def test_nonsense_is_one_clear_error(extra: Any, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        checked(extra, **fields)
    assert message in str(raised.value)
    assert "patterns_kafka" in str(raised.value)


def test_a_secret_is_in_no_representation_and_no_message() -> None:
    config = checked({**SERVERS, **LOGIN})
    LEAKS.look("a configuration", f"{config!r} {config} {config.address}")
    told = config.redacted(f'Invalid value "{LOGIN["sasl.password"]}" for sasl.password of reader')
    LEAKS.look("a message of the client", told)
    assert told == 'Invalid value "…" for sasl.password of reader'


def test_what_would_lose_events_cannot_be_chosen() -> None:
    config = checked({**SERVERS, "enable.auto.commit": True, "acks": 1, "request.required.acks": 0, "linger.ms": 1})
    open_producer(config, print)
    consumer = open_consumer(config, "group", print)
    consumer.close()


@pytest.mark.parametrize("name", ["", "prod.my_topic-1"])
def test_a_topic_may_be_named_or_switched_off(name: str) -> None:
    assert choose(Topics, {}, {"pattern_created_topic": name}.get).created == name


@pytest.mark.parametrize("name", ["with blank", "..", "a/b", "x" * 250])
def test_a_topic_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"'pattern_indexed_topic' is .*must be the name of a Kafka topic"):
        choose(Topics, {}, {"pattern_indexed_topic": name}.get)
