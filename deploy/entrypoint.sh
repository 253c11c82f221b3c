#!/bin/bash
# Runs a command of Airflow, or any program. The official chart and Compose call the image so.
set -euo pipefail
case ${1:-} in
    airflow | bash | python | sh) exec "$@" ;;
    /*) exec "$@" ;;
    *) exec airflow "$@" ;;
esac
