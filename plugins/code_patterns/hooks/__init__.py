"""Airflow connections in, plain configurations out."""
