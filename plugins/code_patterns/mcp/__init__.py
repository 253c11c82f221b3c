"""Patterns for agents, by the Model Context Protocol: over stdio here, over HTTP in Airflow's API server."""
