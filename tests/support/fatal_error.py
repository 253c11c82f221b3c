"""A fatal error of Kafka's client, which only its own library can make."""

import ctypes
from pathlib import Path

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, Producer


def make_fatal(client: Producer | Consumer) -> None:
    """Let a client have a fatal error: from now on it sends nothing."""
    [library] = Path(confluent_kafka.__file__).parent.parent.glob("confluent_kafka*.libs/librdkafka*")
    # The client's handle is the first member of the Python object.
    handle = ctypes.c_void_p.from_address(id(client) + object.__basicsize__)
    fail = ctypes.CDLL(str(library)).rd_kafka_test_fatal_error
    fail.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p]
    fail(handle, KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, b"made for a test")
