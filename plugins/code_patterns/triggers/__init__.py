"""Airflow triggers: what waits in the triggerer."""
