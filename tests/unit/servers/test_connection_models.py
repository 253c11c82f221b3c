"""What people type into the extra of a connection, and the sentence that comes back."""

import json
from typing import Annotated, Any, Literal

import pytest
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.providers.qdrant.get_provider_info import get_provider_info
from psycopg import pq
from pydantic import Field

from code_patterns.embeddings.connection import EmbeddingExtra
from code_patterns.errors import ConfigurationError
from code_patterns.servers.connection_models import ConnectionExtra, ConnectionFields
from code_patterns.servers.postgres_connection import PostgresExtra
from code_patterns.servers.qdrant_connection import QdrantExtra
from code_patterns.typed_fields import NOT_BOOLEAN, Flag

SECRET = "geheim-0123456789"
MODELS = [PostgresExtra, QdrantExtra, EmbeddingExtra]


class Extra(ConnectionExtra):
    whole: Annotated[int, Field(ge=1), NOT_BOOLEAN] = 7
    port: Annotated[int, Field(ge=1, le=65535), NOT_BOOLEAN] | None = None
    share: Annotated[float, Field(gt=0, le=1, examples=[0.2]), NOT_BOOLEAN] = 0.5
    flag: Flag | None = None
    text: str = "default"
    kind: Literal["one", "two"] = "one"
    api_key: Annotated[str, Field(max_length=3)] = ""


def fields(extra: str | None) -> ConnectionFields:
    return ConnectionFields("c", extra=extra)


def refusal(model: type[ConnectionExtra], **extra: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        model.read(fields(json.dumps(extra)))
    assert caught.value.__context__ is None
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("text", [None, "", "  ", "{}", '{"whole": null, "flag": "", "text": null}'])
def test_nothing_set(text: str | None) -> None:
    assert Extra.read(fields(text)) == Extra()


@pytest.mark.parametrize("text", ["[1]", "7", '"text"', "{", "nonsense", "[" * 100_000])
def test_an_extra_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="extra of connection 'c' is not a JSON object"):
        Extra.read(fields(text))


def test_numbers_and_flags_may_be_text_as_in_a_uri() -> None:
    assert Extra.read(fields('{"whole": "768", "share": "0.5", "flag": "True"}')) == Extra(whole=768, flag=True)
    assert [Extra.read(fields(f'{{"flag": {value}}}')).flag for value in ('"false"', '"0"', "1", "0", "false")] == [
        *(False, False, True, False, False)
    ]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("whole", "abc", "'whole' = 'abc'. It must be a whole number of at least 1; set it there."),
        ("whole", 0, "'whole' = 0. It must be a whole number of at least 1"),
        ("whole", 1.5, "'whole' = 1.5. It must be a whole number"),
        ("whole", True, "'whole' = True. It must be a whole number"),
        ("whole", [1], "extra 'whole'. It must be a whole number"),
        ("whole", "1e3", "'whole' = '1e3'. It must be a whole number"),
        ("whole", "x" * 200, "…. It must be a whole number"),
        ("port", 70000, "'port' = 70000. It must be a whole number from 1 to 65535"),
        ("share", "nan", "'share' = 'nan'. It must be a number above 0 and up to 1, such as 0.2"),
        ("share", False, "'share' = False. It must be a number above 0"),
        ("flag", "maybe", "'flag' = 'maybe'. It must be true or false"),
        ("flag", "no", "'flag' = 'no'. It must be true or false"),
        ("text", 7, "'text' = 7. It must be a text"),
        ("text", True, "'text' = True. It must be a text"),
        ("kind", "three", "'kind' = 'three'. It must be one of one, two"),
    ],
)
def test_a_value_that_makes_no_sense(name: str, value: Any, said: str) -> None:
    assert said in refusal(Extra, **{name: value})
    assert refusal(Extra, **{name: value}).startswith("Connection 'c' has extra '")


@pytest.mark.parametrize("extra", [{"api_key": SECRET}, {"whole": f"https://{SECRET}@host"}, {"text": {"a": SECRET}}])
def test_a_value_that_may_be_secret_is_not_repeated(extra: dict[str, Any]) -> None:
    assert SECRET not in refusal(Extra, **extra)


@pytest.mark.parametrize("model", MODELS)
def test_an_unknown_name_is_refused(model: type[ConnectionExtra]) -> None:
    said = refusal(model, nonsense_xyz=SECRET)
    assert "Connection 'c' has the unknown extra 'nonsense_xyz'" in said
    assert "known are" in said
    assert SECRET not in said


@pytest.mark.parametrize(
    ("model", "typed", "meant"),
    [
        (PostgresExtra, "ssl_mode", "sslmode"),
        (PostgresExtra, "conect_timeout", "connect_timeout"),
        (QdrantExtra, "grpcport", "grpc_port"),
        (QdrantExtra, "time_out", "timeout"),
        (EmbeddingExtra, "dimenson", "dimension"),
    ],
)
def test_a_misspelt_name_gets_a_hint(model: type[ConnectionExtra], typed: str, meant: str) -> None:
    assert f"unknown extra '{typed}'. Did you mean '{meant}'?" in refusal(model, **{typed: 1})


def test_what_upstream_forms_and_hooks_know_is_known() -> None:
    [qdrant] = get_provider_info()["connection-types"]
    assert set(qdrant["conn-fields"]) <= QdrantExtra.known()
    assert PostgresExtra.known() >= PostgresHook.ignored_extra_options
    assert {item.keyword.decode() for item in pq.Conninfo.get_defaults()} <= PostgresExtra.known()


def test_postgres_parameters_are_checked_as_far_as_libpq_is_late() -> None:
    assert "must be one of disable, allow" in refusal(PostgresExtra, sslmode="requird")
    assert "'connect_timeout' = -1. It must be a whole number of at least 0" in refusal(
        PostgresExtra, connect_timeout=-1
    )
    assert "extra 'keepalives'. It must be a text or a whole number or a number" in refusal(
        PostgresExtra, keepalives=[]
    )


def test_a_form_left_as_it_opens_changes_nothing() -> None:
    assert EmbeddingExtra.read(fields('{"api": "ollama", "timeout": 60, "dimension": 768}')) == EmbeddingExtra(
        api="ollama"
    )
