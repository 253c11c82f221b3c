"""Airflow operators of the storage layer."""
