"""The forms, which may import nothing of the bundle, say the same as the models that read what is typed there."""

from typing import Any

import pytest
from airflow.providers.qdrant.get_provider_info import get_provider_info as upstream

from code_patterns.embeddings.connection import EmbeddingExtra
from code_patterns.servers.connection_models import ConnectionExtra
from code_patterns.servers.qdrant_connection import QdrantExtra
from code_patterns.typed_fields import field_at
from code_patterns_provider import EMBEDDING_FIELDS, QDRANT_FIELDS

LIMITS = ("enum", "minimum", "maximum", "exclusiveMinimum")
FORMS = pytest.mark.parametrize(
    ("form", "model"),
    [
        (EMBEDDING_FIELDS, EmbeddingExtra),
        (QDRANT_FIELDS | upstream()["connection-types"][0]["conn-fields"], QdrantExtra),
    ],
    ids=["embedding", "qdrant"],
)


@FORMS
def test_a_form_offers_every_extra(form: dict[str, Any], model: type[ConnectionExtra]) -> None:
    # Upstream's form spells it prefer_gprc; the right spelling is for whoever writes JSON.
    assert set(form) == set(model.model_fields) - {"prefer_grpc"}


@FORMS
def test_defaults_and_types_agree(form: dict[str, Any], model: type[ConnectionExtra]) -> None:
    whole = model.model_json_schema()
    fields = whole["properties"]
    for name, entry in form.items():
        schema = entry["schema"]
        field = field_at(whole, [name])
        kinds = {kind.get("type") for kind in field.get("anyOf", [field])} | {"null"}
        assert set(schema["type"]) == kinds, name
        if "default" in schema:
            assert schema["default"] == fields[name]["default"], name


@pytest.mark.parametrize(("form", "model"), [(EMBEDDING_FIELDS, EmbeddingExtra), (QDRANT_FIELDS, QdrantExtra)])
def test_limits_agree(form: dict[str, Any], model: type[ConnectionExtra]) -> None:
    fields = model.model_json_schema()["properties"]
    for name, entry in form.items():
        limits = {limit: fields[name][limit] for limit in LIMITS if limit in fields[name]}
        if "" in limits.get("enum", ()):
            limits["enum"] = [value for value in limits["enum"] if value]  # a form says null for "nothing"
        assert {limit: entry["schema"][limit] for limit in LIMITS if limit in entry["schema"]} == limits, name
