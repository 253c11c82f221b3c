"""The form of the DAG pattern_analytics."""

from airflow.sdk import Param

from code_patterns.operators.form import Field, form
from pattern_learning.daily import DayParam


def analytics_form() -> dict[str, Param]:
    """The Params of a DAG that computes days."""
    text = "Day of UTC to compute, in the past. Empty: the run's data interval, or yesterday if it has none."
    return form([DayParam], {"day": Field("Day", text)})
