"""What gRPC carries of payloads, by the client's own conversion and the messages of the protocol."""

import json
from typing import Any

import orjson
import pytest
from qdrant_client import grpc, models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc

from code_patterns.servers.grpc_payloads import MAX_DEPTH, UncarriedPayloadError, operations_of, points_of
from code_patterns.servers.qdrant_config import QdrantConfig

CONFIG = QdrantConfig(conn_id="patterns_qdrant", url="http://qdrant:6333", prefer_grpc=True)
POINT = "00000000-0000-0000-0000-000000000001"


def objects(levels: int) -> Any:
    return json.loads('{"a":' * levels + "1" + "}" * levels)


def upserted(payload: Any) -> models.PointStruct:
    [point] = points_of(CONFIG, orjson.dumps({"points": [{"id": POINT, "vector": [1.0], "payload": payload}]}))
    return point


@pytest.mark.parametrize("value", [objects(MAX_DEPTH), json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)])
def test_what_is_written_can_be_read_in_the_deepest_answer(value: Any) -> None:
    point = RestToGrpc.convert_point_struct(upserted({"metadata": value}))
    answer = grpc.QueryGroupsResponse(
        result=grpc.GroupsResult(
            groups=[grpc.PointGroup(hits=[grpc.ScoredPoint(id=point.id, payload=point.payload, score=1.0)])]
        )
    )
    read = grpc.QueryGroupsResponse.FromString(answer.SerializeToString())
    [group] = read.result.groups
    [found] = group.hits
    assert GrpcToRest.convert_payload(found.payload) == {"metadata": value}


def test_whole_numbers_that_grpc_lacks_become_fractions() -> None:
    payload = {"n": [2**64 - 1, 2**63, 2**63 - 1, -(2**63), True, None, "9" * 30]}
    point = RestToGrpc.convert_point_struct(upserted(payload))
    assert GrpcToRest.convert_payload(point.payload) == {
        "n": [float(2**64), float(2**63), 2**63 - 1, -(2**63), True, None, "9" * 30]
    }


@pytest.mark.parametrize("operation", ["set_payload", "overwrite_payload"])
def test_deeper_payloads_are_refused_with_what_to_do(operation: str) -> None:
    def body(levels: int) -> bytes:
        payload = {"metadata": objects(levels)}
        return orjson.dumps({"operations": [{operation: {"payload": payload, "points": [POINT]}}]})

    operations_of(CONFIG, body(MAX_DEPTH))
    with pytest.raises(UncarriedPayloadError, match=r"'metadata' nests deeper than 30 levels.*'prefer_grpc'"):
        operations_of(CONFIG, body(MAX_DEPTH + 1))
    with pytest.raises(UncarriedPayloadError, match="'metadata' nests deeper than 30 levels"):
        upserted({"metadata": objects(MAX_DEPTH + 1)})
