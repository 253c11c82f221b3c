#!/usr/bin/env bash
# Starts the API server with the UI password from .env. Otherwise Airflow makes one up and prints it into its log.
set -euo pipefail
umask 077
python -c 'import json, os; print(json.dumps({"admin": os.environ["AIRFLOW_ADMIN_PASSWORD"]}))' \
    > "$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
unset AIRFLOW_ADMIN_PASSWORD
exec airflow api-server
