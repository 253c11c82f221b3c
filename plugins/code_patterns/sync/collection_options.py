"""The options of a collection: set when it is created, compared, and changed where Qdrant can.

Only options that the connection names count. What somebody else set stays.
"""

import logging
from collections.abc import Mapping, Sequence
from math import isclose
from typing import Any

from qdrant_client import models

from code_patterns.codes import Code
from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.errors import ConfigurationError
from code_patterns.servers.qdrant import Qdrant
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.servers.qdrant_options import CollectionOptions, Quantization
from code_patterns.sync.collection import Collection, StoredCollection, read_stored

log = logging.getLogger(__name__)

FIXED = frozenset({"shard_number", "replication_factor"})
"""Options that only a new collection can have. Qdrant stores another ``replication_factor``, and copies no shard."""
THRESHOLD = "optimizers.indexing_threshold"
EDGES = "hnsw.m"
SEGMENTS = "optimizers.default_segment_number"
_UNSET = {
    "on_disk": False,
    "quantization.type": "none",
    "quantization.always_ram": False,
    "strict_mode.enabled": False,
    "strict_mode.unindexed_filtering_retrieve": True,
    "strict_mode.unindexed_filtering_update": True,
    "strict_mode.search_allow_exact": True,
}
"""What an option is that a collection does not name."""


def refuse_unfit(qdrant: QdrantConfig, embedding: EmbeddingConfig) -> None:
    """Check that the options fit the vectors.

    :raises ConfigurationError: they do not
    """
    quantization = qdrant.collection.quantization
    if quantization and quantization.type == "binary" and embedding.api == "hashing":
        raise ConfigurationError(
            Code.CONNECTION_WRONG,
            f"Connection '{qdrant.conn_id}' has extra 'collection.quantization.type' = 'binary', and the vectors of "
            f"'{embedding.conn_id}' are made by 'hashing': most of their numbers are 0, of which one bit tells "
            "nothing. Set it to int8 or none, or use a model.",
        )


def creation(options: CollectionOptions) -> dict[str, Any]:
    """Return the arguments by which the client creates a collection with these options, those of vectors apart."""
    arguments = {
        "shard_number": options.shard_number,
        "replication_factor": options.replication_factor,
        "write_consistency_factor": options.write_consistency_factor,
        "on_disk_payload": options.on_disk_payload,
        "hnsw_config": options.hnsw and models.HnswConfigDiff(**options.hnsw.model_dump(exclude_none=True)),
        "optimizers_config": options.optimizers
        and models.OptimizersConfigDiff(**options.optimizers.model_dump(exclude_none=True)),
        "quantization_config": options.quantization and _quantized(options.quantization),
        "strict_mode_config": options.strict_mode
        and models.StrictModeConfig(**options.strict_mode.model_dump(exclude_none=True)),
    }
    return {name: value for name, value in arguments.items() if value is not None}


def differing(options: CollectionOptions, stored: StoredCollection) -> dict[str, tuple[Any, Any]]:
    """Return the options that a collection has otherwise: what it has and what it is to have, by name."""
    if stored.config is None:
        return {}
    found = options_of(stored.config)
    # They are others until the first load is complete.
    deferred = stored.description.deferred or {}
    pairs = {
        name: (found.get(name, _UNSET.get(name)), wanted)
        for name, wanted in options.named.items()
        if name not in deferred
    }
    return {name: pair for name, pair in pairs.items() if not _same(*pair)}


def needs_rebuild(qdrant: QdrantConfig, stored: StoredCollection) -> dict[str, tuple[Any, Any]]:
    """Return the options that a collection has otherwise and that only a new one can have; see :func:`differing`.

    An option that it was created with is none of them: Qdrant would give a new one the same.
    """
    if qdrant.path:
        return {}
    asked = stored.description.asked or {}
    found = differing(qdrant.collection, stored)
    return {name: pair for name, pair in found.items() if name in FIXED and asked.get(name) != pair[1]}


def fixed_options(options: CollectionOptions) -> dict[str, Any]:
    """Return the options that only a new collection can have, by name."""
    return {name: value for name, value in options.named.items() if name in FIXED}


async def bring_up(qdrant: Qdrant, collection: Collection, *, dry_run: bool) -> Collection:
    """Change the options of a collection where they differ and Qdrant can.

    :param collection: the collection, created
    :param dry_run: only say what would be changed
    :raises ConfigurationError: Qdrant refuses an option
    """
    options, physical = qdrant.config.collection, collection.physical
    if collection.stored is None or not options.named:
        return collection
    if qdrant.config.path:
        log.info("The embedded storage has no options: the extra 'collection' of %s is ignored.", qdrant.config.address)
        return collection
    stored = await read_stored(qdrant, physical)
    found = differing(options, stored)
    changed = {name: pair for name, pair in found.items() if name not in FIXED}
    if fixed := {name: pair for name, pair in found.items() if name in FIXED}:
        log.warning(
            "The Qdrant collection '%s' has other options than the extra 'collection' of %s: %s. %s",
            physical,
            qdrant.config.address,
            in_words(fixed),
            _why_fixed(collection, needs_rebuild(qdrant.config, stored)),
        )
    if not changed:
        return collection
    log.info("%s options of '%s': %s.", "Would change" if dry_run else "Changing", physical, in_words(changed))
    if dry_run:
        return collection
    await set_options(qdrant, stored, options, list(changed))
    left = differing(options, await read_stored(qdrant, physical))
    if ignored := {name: pair for name, pair in left.items() if name in changed}:
        log.warning(
            "Qdrant at %s took no notice of options of '%s': %s. Its version may not know them.",
            qdrant.config.address,
            physical,
            in_words(ignored),
        )
    return collection


async def set_options(
    qdrant: Qdrant, stored: StoredCollection, options: CollectionOptions, names: Sequence[str]
) -> None:
    """Change options of a collection in place.

    :param options: what it is to have
    :param names: which of them
    """
    physical = stored.physical
    await qdrant.call(
        f"setting {', '.join(names)} of '{physical}'",
        lambda: qdrant.client.update_collection(physical, **_update(options, stored, names)),
    )


def _same(found: Any, wanted: Any) -> bool:
    # gRPC gives back a number of 32 bits.
    if isinstance(found, float) and isinstance(wanted, float):
        return isclose(found, wanted, rel_tol=1e-6)
    return bool(found == wanted)


def _why_fixed(collection: Collection, needed: Mapping[str, Any]) -> str:
    if not needed:
        return "It was created with them, and Qdrant made it otherwise: are there enough nodes?"
    if collection.physical == collection.name:
        return "Only a new one can have them, and one without an alias is not replaced: see docs/collection.md."
    return f"Somebody went back to it: run {collection.target.named('pattern_sync_full')} with rollback to go forward."


def in_words(pairs: Mapping[str, tuple[Any, Any]]) -> str:
    """Say which options are to have which values."""
    return ", ".join(f"{name} {_shown(before)} → {_shown(after)}" for name, (before, after) in pairs.items())


def _shown(value: Any) -> str:
    return "unset" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def options_of(config: models.CollectionConfig) -> dict[str, Any]:
    """Return the options that a collection has: value by name, as in :attr:`CollectionOptions.named`."""
    params = config.params
    vectors = params.vectors if isinstance(params.vectors, models.VectorParams) else None
    groups: dict[str, Mapping[str, Any]] = {
        "hnsw": config.hnsw_config.model_dump() | _own_hnsw(vectors),
        "optimizers": config.optimizer_config.model_dump(),
        "quantization": _described(_own_quantization(vectors) or config.quantization_config),
        "strict_mode": config.strict_mode_config.model_dump() if config.strict_mode_config else {},
    }
    found = {
        "shard_number": params.shard_number,
        "replication_factor": params.replication_factor,
        "write_consistency_factor": params.write_consistency_factor,
        "on_disk_payload": params.on_disk_payload,
        "on_disk": vectors and vectors.on_disk,
        **{f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()},
    }
    return {name: value for name, value in found.items() if value is not None}


def _own_hnsw(vectors: models.VectorParams | None) -> dict[str, Any]:
    """What the vector says for itself; that beats what the collection says."""
    return vectors.hnsw_config.model_dump(exclude_none=True) if vectors and vectors.hnsw_config else {}


def _own_quantization(vectors: models.VectorParams | None) -> models.QuantizationConfig | None:
    return vectors.quantization_config if vectors else None


def _described(config: models.QuantizationConfig | None) -> dict[str, Any]:
    if isinstance(config, models.ScalarQuantization):
        scalar = config.scalar
        return {"type": scalar.type.value, "quantile": scalar.quantile, "always_ram": scalar.always_ram}
    if isinstance(config, models.BinaryQuantization):
        return {"type": "binary", "always_ram": config.binary.always_ram}
    return {"type": "another" if config else None}


def _quantized(wanted: Quantization) -> models.ScalarQuantization | models.BinaryQuantization | None:
    if wanted.type == "none":
        return None
    if wanted.type == "binary":
        return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=wanted.always_ram))
    return models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(
            type=models.ScalarType.INT8, quantile=wanted.quantile, always_ram=wanted.always_ram
        )
    )


def _update(options: CollectionOptions, stored: StoredCollection, changed: Sequence[str]) -> dict[str, Any]:
    """The arguments by which the client changes these options."""

    def group(name: str) -> dict[str, Any]:
        parts = (option.partition(".") for option in changed)
        return {part: options.named[f"{name}.{part}"] for of, _, part in parts if of == name and part}

    arguments: dict[str, Any] = {}
    vectors: dict[str, Any] = {}
    if "on_disk" in changed:
        vectors["on_disk"] = options.on_disk
    if hnsw := group("hnsw"):
        arguments["hnsw_config"] = models.HnswConfigDiff(**hnsw)
        if _own_hnsw(stored.vectors).keys() & hnsw.keys():
            vectors["hnsw_config"] = models.HnswConfigDiff(**hnsw)
    if optimizers := group("optimizers"):
        arguments["optimizers_config"] = models.OptimizersConfigDiff(**optimizers)
    if options.quantization and group("quantization"):
        wanted = _quantized(options.quantization) or models.Disabled.DISABLED
        arguments["quantization_config"] = wanted
        if _own_quantization(stored.vectors):
            vectors["quantization_config"] = wanted
    if strict := group("strict_mode"):
        arguments["strict_mode_config"] = models.StrictModeConfig(**strict)
    params = {name: options.named[name] for name in ("write_consistency_factor", "on_disk_payload") if name in changed}
    if params:
        arguments["collection_params"] = models.CollectionParamsDiff(**params)
    if vectors:
        arguments["vectors_config"] = {"": models.VectorParamsDiff(**vectors)}
    return arguments
