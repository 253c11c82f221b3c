"""Airflow operators: Airflow on one side, plain calls into the rest of the package on the other."""
