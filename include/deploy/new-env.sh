#!/bin/sh
# Makes what docker-compose.yaml needs: the folder secrets/ with a random value for every secret, and .env from .env.example.
# A value that an older .env holds is kept: databases and connections use it.
set -eu
cd "$(dirname "$0")/../.."
if [ -e secrets ]; then
    echo "The folder secrets/ exists and stays as it is: databases and connections use its values." >&2
    exit 1
fi
umask 077

# As Compose reads .env: the last line of a name counts, and neither quotes nor a comment are part of the value.
value_in_env() {
    tr -d '\r' < .env | sed -n -e 's/^export  *//' -e "s/^$1=//p" | tail -n 1 \
        | sed -e "s/^'\([^']*\)'.*/\1/" -e t -e 's/^"\([^"]*\)".*/\1/' -e t -e 's/[[:space:]]\{1,\}#.*//' -e 's/[[:space:]]*$//'
}

new=$(mktemp -d secrets.XXXXXX)
trap 'rm -rf "$new"' EXIT
for name in airflow_admin_password airflow_api_secret_key airflow_db_password airflow_fernet_key airflow_jwt_secret \
    airflow_metrics_password grafana_admin_password patterns_db_password qdrant_api_key; do
    value=
    if [ -e .env ]; then
        value=$(value_in_env "$(echo "$name" | tr '[:lower:]' '[:upper:]')")
    fi
    if [ -z "$value" ]; then
        # Fernet needs 32 bytes in URL-safe base64. The other values can be used in a URL without escaping.
        case $name in
            airflow_fernet_key) value=$(openssl rand -base64 32 | tr '+/' '-_') ;;
            *) value=$(openssl rand -hex 24) ;;
        esac
    fi
    printf '%s' "$value" > "$new/$name"
    # The folder is closed to others. Its files are not: Compose shows them to users of containers as they are here.
    chmod 444 "$new/$name"
done
mv "$new" secrets
[ -e .env ] || cp .env.example .env
echo "Made secrets/. The Airflow UI's user is admin, its password is in secrets/airflow_admin_password."
if grep -q '^[A-Z_]*\(PASSWORD\|KEY\|SECRET\)=' .env; then
    echo "Nothing reads the secrets in .env any more: remove their lines."
fi
