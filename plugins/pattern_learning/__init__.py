"""The pattern learning storage layer: templates, their use, their relationships and analytics, in PostgreSQL.

.. code-block:: python

    from pattern_learning import ModelContractEffect, NodePatternStorageEffect, get_pattern_db_manager

    manager = await get_pattern_db_manager()
    node = NodePatternStorageEffect(manager.pool)
    result = await node.execute_effect(ModelContractEffect(operation="insert", data={...}))
"""

from pattern_learning.contract import ModelContractEffect, ModelResult
from pattern_learning.node_pattern_analytics_effect import NodePatternAnalyticsEffect
from pattern_learning.node_pattern_query_effect import NodePatternQueryEffect
from pattern_learning.node_pattern_storage_effect import NodePatternStorageEffect
from pattern_learning.node_pattern_update_effect import NodePatternUpdateEffect
from pattern_learning.pattern_database import (
    PatternDatabaseManager,
    close_pattern_db_manager,
    get_pattern_db_manager,
)

__all__ = [
    "ModelContractEffect",
    "ModelResult",
    "NodePatternAnalyticsEffect",
    "NodePatternQueryEffect",
    "NodePatternStorageEffect",
    "NodePatternUpdateEffect",
    "PatternDatabaseManager",
    "close_pattern_db_manager",
    "get_pattern_db_manager",
]
