"""Airflow plugin: the Patterns page, and the REST API below ``/patterns/api``.

Airflow loads this file in its long-lived processes, so it must not import the packages beside it: tasks of another
version of the bundle would get them too. Only the API server asks for the app, and it runs no task.
"""

import logging
from functools import cached_property
from importlib.util import find_spec
from typing import Any

from airflow.plugins_manager import AirflowPlugin


class PatternsUiPlugin(AirflowPlugin):
    """Adds the page to the navigation."""

    name = "patterns_ui"

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """The app, for the API server."""
        if find_spec("code_patterns") is None:
            logging.getLogger(__name__).warning(
                "The Patterns page is off: there is no package 'code_patterns' beside patterns_ui.py or on PYTHONPATH."
            )
            return []
        from code_patterns.web.app import build_app

        return [{"app": build_app(), "url_prefix": "/patterns", "name": "Code patterns"}]

    react_apps = [  # noqa: RUF012 - as Airflow declares it
        {
            "name": "Patterns",
            "bundle_url": "patterns/page/patterns.js",
            "url_route": "patterns",
            "destination": "nav",
            "nav_top_level": True,
        }
    ]
