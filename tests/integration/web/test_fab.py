"""The API server with the FAB auth manager, in the environment of ``make test-fab``."""

import os
from pathlib import Path

import pytest

from tests.support.api_server import api_server
from tests.support.connections import connections_of, targets_file
from tests.support.leaks import LEAKS
from tests.support.two_sides import TwoSides, rows
from tests.support.who_may_read import check_targets, check_who_may_read

PYTHON = os.environ.get("PATTERNS_TEST_FAB_PYTHON", "")
MANAGER = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
USERS = """
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
with get_application_builder() as builder:
    manager = builder.sm
    manager.sync_roles()
    for dag in ("pattern_sync_full", "pattern_sync_stream", "pattern_sync_full__team_a"):
        manager.add_role(f"reads {dag}")
        manager.sync_perm_for_dag(dag, {f"reads {dag}": {"can_read"}})
    manager.add_role("nothing")
    manager.add_permission_to_role(manager.find_role("Viewer"), manager.create_permission("can_read", "Plugins"))
    roles = {
        "admin": "Admin",
        "viewer": "Viewer",
        "reader": "reads pattern_sync_full",
        "other": "reads pattern_sync_stream",
        "team": "reads pattern_sync_full__team_a",
        "nobody": "nothing",
    }
    for name, role in roles.items():
        assert manager.add_user(name, name, name, f"{name}@example.org", manager.find_role(role), password=name)
"""


@pytest.mark.skipif(not PYTHON, reason="PATTERNS_TEST_FAB_PYTHON names no Python with FAB; use make test-fab")
def test_with_fab_whoever_may_read_the_dag_may_read_the_patterns(sides: TwoSides, tmp_path: Path) -> None:
    sides.insert(rows(3))
    sides.sync("full")
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        **connections_of(sides),
        "AIRFLOW__CORE__AUTH_MANAGER": MANAGER,
        **targets_file(tmp_path, {"name": "team_a", "collection": f"{sides.collection}_a"}),
    }
    with api_server(home, environment, PYTHON, USERS) as server:
        check_who_may_read(server, may=["admin", "viewer", "reader"], may_not=["other", "nobody", "team"])
        check_targets(server, viewer=["", "team_a"], reader=[""], team=["team_a"], nobody=[])
        # Airflow's UI builds its navigation from this list.
        with server.client("viewer") as viewer, server.client("reader") as reader:
            assert "patterns_ui" in [plugin["name"] for plugin in viewer.get("/api/v2/plugins").json()["plugins"]]
            assert reader.get("/api/v2/plugins").status_code == 403
    LEAKS.look_at_folder(home)
