"""Hooks: Airflow connections → plain configurations."""
