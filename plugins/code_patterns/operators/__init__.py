"""Airflow operators; they call the rest of the package, which does not know Airflow.

:raises ImportError: Airflow is too old; the UI shows the message as an import error of each DAG file
"""

from airflow import __version__

LEAST_AIRFLOW = (3, 3)
"""The oldest Airflow that works. In 3.2 runs do their work, and fail afterwards because they cannot count it."""

if tuple(map(int, __version__.split(".")[:2])) < LEAST_AIRFLOW:
    raise ImportError(
        f"The code patterns bundle needs Airflow {'.'.join(map(str, LEAST_AIRFLOW))} or newer; this is {__version__}. "
        "Nothing was run. Upgrade Airflow as docs/upgrade.md says."
    )
