"""The Patterns page in Airflow's UI, and the REST API behind it, both served by Airflow's API server."""
