"""What the triggerer pays for the bundle's trigger."""

import subprocess
import sys

from tests.conftest import ROOT

PROGRAM = f"""
import sys
import airflow.sdk, airflow.triggers.base
before = set(sys.modules)
sys.path.insert(0, {str(ROOT / "plugins")!r})
import code_patterns.triggers.unattended
print("psycopg" in sys.modules, *sorted((set(sys.modules) - before) & {{"qdrant_client", "grpc"}}))
print(*[name for name in ("qdrant_client", "code_patterns.sync.runs") if name in sys.modules])
"""


def test_the_trigger_imports_neither_a_client_of_qdrant_nor_the_engine() -> None:
    """All triggers of a triggerer share one event loop, and wait while one of them is imported."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["True", ""]
