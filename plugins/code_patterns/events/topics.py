"""Which topics events come from and go to."""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from code_patterns.events.client import KafkaConfig
from code_patterns.params import Variable
from code_patterns.typed_fields import Word, own_rule

DEAD_LETTER_SUFFIX = ".dlq"


def _topic(name: str) -> str:
    # Room is left for the name of the topic of unreadable messages.
    if name and (not re.fullmatch(r"[a-zA-Z0-9._-]{1,245}", name) or name in (".", "..")):
        raise own_rule("the name of a Kafka topic, or empty for none")
    return name


_Topic = Annotated[Word, AfterValidator(_topic)]


@dataclass(frozen=True)
class Topics:
    """The topics; an empty name switches that direction off.

    :param created: where other systems say that patterns were created
    :param indexed: where the sync says what it has done
    """

    created: Annotated[_Topic, Variable("pattern_created_topic")] = "dev.archon-intelligence.pattern.created.v1"
    indexed: Annotated[_Topic, Variable("pattern_indexed_topic")] = "dev.archon-intelligence.pattern.indexed.v1"


@dataclass(frozen=True)
class Events:
    """Where events are: a cluster and its topics."""

    kafka: KafkaConfig
    topics: Topics
