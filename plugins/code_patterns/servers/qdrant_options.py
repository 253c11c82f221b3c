"""The options of a collection in Qdrant, as the extra ``collection`` of a connection names them."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from code_patterns.typed_fields import NOT_BOOLEAN, Flag, own_rule

LARGEST_LIMIT = 25_600
"""Points that a search with filters asks for at once, at most; the sync asks for fewer."""

_Count = Annotated[int, Field(ge=0), NOT_BOOLEAN]
_Positive = Annotated[int, Field(ge=1), NOT_BOOLEAN]


class _Options(BaseModel):
    """A group of options. An option that is ``None`` is left to Qdrant, or to whoever set it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Hnsw(_Options):
    """The graph of the vectors.

    :param m: edges of each point; 0 builds no graph
    :param ef_construct: neighbours that are considered while it is built
    """

    m: _Count | None = None
    ef_construct: Annotated[int, Field(ge=4), NOT_BOOLEAN] | None = None


class Optimizers(_Options):
    """How Qdrant rewrites its segments. Sizes are in kB of vectors.

    ``prevent_unoptimized`` is missing on purpose: it hides points that are stored, and no proof could read them.
    """

    deleted_threshold: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), NOT_BOOLEAN] | None = None
    vacuum_min_vector_number: Annotated[int, Field(ge=100), NOT_BOOLEAN] | None = None
    default_segment_number: _Count | None = None
    max_segment_size: _Positive | None = None
    indexing_threshold: _Count | None = None
    flush_interval_sec: _Positive | None = None
    max_optimization_threads: _Positive | None = None


def _by_its_word(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


class Quantization(_Options):
    """Short vectors that Qdrant searches first.

    :param type: ``int8`` for a byte for each number, ``binary`` for a bit, ``none`` for whole vectors
    :param quantile: share of the numbers that lie within the byte's range; with ``int8`` only
    :param always_ram: whether they stay in memory although the vectors are on disk
    """

    type: Literal["int8", "binary", "none"]
    quantile: Annotated[float, Field(ge=0.5, le=1, allow_inf_nan=False), NOT_BOOLEAN] | None = None
    always_ram: Flag | None = None

    @field_validator("quantile")
    @classmethod
    def _of_int8(cls, quantile: float | None, info: ValidationInfo) -> float | None:
        if quantile is not None and info.data.get("type") != "int8":
            raise own_rule("left out, because only the type int8 has one")
        return quantile


def _allowed(value: bool) -> bool:
    if not value:
        raise own_rule("true, or left out: the proof counts points, and Qdrant takes that for an exact search")
    return value


class StrictMode(_Options):
    """What Qdrant refuses. A limit that would refuse what the sync or the search sends is not allowed."""

    enabled: Flag | None = None
    max_query_limit: Annotated[int, Field(ge=LARGEST_LIMIT), NOT_BOOLEAN] | None = None
    max_timeout: _Positive | None = None
    unindexed_filtering_retrieve: Flag | None = None
    unindexed_filtering_update: Flag | None = None
    search_max_hnsw_ef: _Positive | None = None
    search_allow_exact: Annotated[Flag, AfterValidator(_allowed)] | None = None
    search_max_oversampling: Annotated[float, Field(ge=1, allow_inf_nan=False), NOT_BOOLEAN] | None = None
    upsert_max_batchsize: _Positive | None = None
    search_max_batchsize: Annotated[int, Field(ge=2), NOT_BOOLEAN] | None = None
    max_collection_vector_size_bytes: _Positive | None = None
    max_collection_payload_size_bytes: _Positive | None = None
    max_points_count: _Positive | None = None
    read_rate_limit: _Positive | None = None
    write_rate_limit: _Positive | None = None
    filter_max_conditions: Annotated[int, Field(ge=100), NOT_BOOLEAN] | None = None
    condition_max_size: Annotated[int, Field(ge=5_000), NOT_BOOLEAN] | None = None
    max_payload_index_count: Annotated[int, Field(ge=5), NOT_BOOLEAN] | None = None


def _decoded(value: Any) -> Any:
    if isinstance(value, str):
        with suppress(ValueError, RecursionError):
            value = json.loads(value)
    if not isinstance(value, dict):
        raise own_rule('a JSON object of options, such as {"shard_number": 3}')
    return value


class CollectionOptions(_Options):
    """The options of a collection, under Qdrant's names.

    :param shard_number: shards that the points are spread over
    :param replication_factor: copies of each shard
    :param write_consistency_factor: copies that must have a write before it counts
    :param on_disk: whether vectors are read from disk
    :param on_disk_payload: whether payloads are read from disk
    """

    shard_number: _Positive | None = None
    replication_factor: _Positive | None = None
    write_consistency_factor: _Positive | None = None
    on_disk: Flag | None = None
    on_disk_payload: Flag | None = None
    hnsw: Hnsw | None = None
    optimizers: Optimizers | None = None
    quantization: Annotated[Quantization, BeforeValidator(_by_its_word)] | None = None
    strict_mode: StrictMode | None = None

    @field_validator("write_consistency_factor")
    @classmethod
    def _within_copies(cls, factor: int | None, info: ValidationInfo) -> int | None:
        copies = info.data.get("replication_factor")
        if factor and copies and factor > copies:
            raise own_rule(f"at most the replication_factor, {copies}: no write would ever count")
        return factor

    @property
    def named(self) -> Mapping[str, Any]:
        """Value by name of each option that is set, such as ``hnsw.m``."""
        found: dict[str, Any] = {}
        for name, value in self.model_dump(exclude_none=True).items():
            if isinstance(value, dict):
                found |= {f"{name}.{option}": each for option, each in value.items()}
            else:
                found[name] = value
        return found


DecodedOptions = Annotated[CollectionOptions, BeforeValidator(_decoded)]
"""The options as an object, or as the text of one: in a connection's URI every extra is a text."""
