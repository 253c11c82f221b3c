#!/usr/bin/env bash
# Starts the API server with the UI password from the secrets. Otherwise Airflow makes one up and prints it into its log.
set -euo pipefail
umask 077
python -c 'import json, pathlib, sys; print(json.dumps({"admin": pathlib.Path(sys.argv[1]).read_text().strip()}))' \
    "$AIRFLOW_ADMIN_PASSWORD_FILE" > "$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
exec airflow api-server
