"""Which run of a DAG goes first."""

from airflow.plugins_manager import get_priority_weight_strategy_plugins

_RULE = "patterns_priority.BackfillsLast"


def backfills_last() -> str:
    """Name the weight rule by which the runs of a backfill give way to all others.

    Where Airflow does not load the plugin ``patterns_priority``, this is Airflow's own rule: a DAG with an unknown one
    could not be loaded at all.
    """
    return _RULE if _RULE in get_priority_weight_strategy_plugins() else "absolute"
