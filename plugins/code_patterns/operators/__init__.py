"""Airflow operators; they call the rest of the package, which does not know Airflow."""
