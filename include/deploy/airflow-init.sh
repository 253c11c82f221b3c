#!/usr/bin/env bash
# Prepares Airflow's metadata database. It keeps what exists: people change Variables and connections in the UI.
set -euo pipefail
here=$(dirname "$0")

airflow db migrate

connections=$(mktemp --suffix=.json)
trap 'rm -f "$connections"' EXIT
python "$here/connections.py" > "$connections"
echo "Connections and Variables that exist already are kept as they are:"
airflow connections import "$connections"
airflow variables import --action-on-existing-key skip "$here/variables.json"

if ! airflow pools get "$PATTERNS_POOL" > /dev/null 2>&1; then
    # Two slots: a nightly run does not hold up the hourly one, and the runs of a backfill wait.
    airflow pools set "$PATTERNS_POOL" 2 "Runs of the pattern sync at one time"
fi
