#!/usr/bin/env bash
# Adds the connection of the Kafka of Compose. It keeps one that exists: people change connections in the UI.
set -euo pipefail

connection=$(mktemp --suffix=.json)
trap 'rm -f "$connection"' EXIT
cat > "$connection" << 'EOF'
{
  "patterns_kafka": {
    "conn_type": "kafka",
    "description": "Names rows to look at, and is told what was done with points",
    "extra": {"bootstrap.servers": "kafka:9094"}
  }
}
EOF
airflow connections import "$connection"
