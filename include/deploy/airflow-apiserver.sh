#!/usr/bin/env bash
# Starts the API server with the passwords of its users from files: AIRFLOW_ADMIN_PASSWORD_FILE, and for a user who only reads
# metrics AIRFLOW_METRICS_PASSWORD_FILE. Otherwise Airflow makes them up and prints them into its log.
set -euo pipefail
umask 077
python "$(dirname "$0")/passwords.py" > "$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
exec airflow api-server
