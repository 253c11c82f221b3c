"""The runbook's remedies for refusals and failures of the storage layer, each followed to its end."""

import asyncio
import logging
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from pattern_learning import ModelContractEffect, NodePatternQueryEffect
from pattern_learning.jobs import run_operation
from tests.conftest import config_of
from tests.support.learning_database import Layer, LearningDatabase, template


@pytest.mark.remedy(Code.ARGUMENT_REFUSED)
def test_a_refused_call_is_corrected(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> Any:
        before = learning.counts()
        result = await layer.run("insert", data=template(confidence_score=1.5))
        assert result.metadata["code"] == Code.ARGUMENT_REFUSED
        assert str(result.error).startswith("data.confidence_score is 1.5; it must be a number from 0 to 1.")
        assert learning.counts() == before
        return await layer.store(confidence_score=1.0)

    stored = learning.use(work)
    found = learning.rows("SELECT id::text, confidence_score FROM pattern_templates")
    assert found == [{"id": stored, "confidence_score": 1.0}]


@pytest.mark.remedy(Code.ARGUMENT_REFUSED)
def test_a_misspelt_operation_of_a_task_is_corrected(learning: LearningDatabase) -> None:
    def run(operation: str) -> Any:
        contract = ModelContractEffect(operation, data=template())
        return asyncio.run(run_operation(learning.config, contract, "a task"))

    with pytest.raises(ConfigurationError, match=r"operation is 'isnert'; it must be one of insert, ") as raised:
        run("isnert")
    assert raised.value.code is Code.ARGUMENT_REFUSED
    assert learning.counts()["pattern_templates"] == 0
    assert learning.rows("SELECT id::text FROM pattern_templates") == []
    run("insert")
    assert learning.counts()["pattern_templates"] == 1


@pytest.mark.remedy(Code.OPERATION_FAILED)
def test_an_unexpected_failure_is_in_the_log_with_its_stack(
    learning: LearningDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """A pool of the caller's own, whose decoder fails, is neither an argument nor PostgreSQL."""
    stored = learning.use(Layer.store)
    config = config_of(learning.dsn)

    def of_others(value: str) -> Any:
        raise LookupError(f"no pattern {value} here")

    async def top(decoder: Any) -> Any:
        async def decode(connection: Any) -> None:
            await connection.set_type_codec("uuid", schema="pg_catalog", encoder=str, decoder=decoder)

        address = {"host": config.host, "port": config.port, "user": config.user, "database": config.database}
        pool = await asyncpg.create_pool(**address, password=config.password, min_size=1, max_size=1, init=decode)
        try:
            return await NodePatternQueryEffect(pool).execute_effect(ModelContractEffect("get_top"))
        finally:
            await pool.close()

    with caplog.at_level(logging.ERROR):
        failed = asyncio.run(top(of_others))
    assert not failed.success
    assert failed.error == f"LookupError: no pattern {stored} here [{Code.OPERATION_FAILED}]"
    assert (failed.metadata["code"], failed.metadata["retryable"]) == (Code.OPERATION_FAILED, False)
    assert "in of_others" in caplog.text
    assert learning.counts()["pattern_templates"] == 1
    # The stack names the culprit.
    [found] = asyncio.run(top(UUID)).data
    assert str(found["id"]) == stored
