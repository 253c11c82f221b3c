#!/bin/sh
# Makes .env for docker-compose.yaml from .env.example, with a random value for every secret.
set -eu
cd "$(dirname "$0")/../.."
if [ -e .env ]; then
    echo ".env exists and stays as it is: databases and connections use its values." >&2
    exit 1
fi
umask 077
new=$(mktemp .env.XXXXXX)
trap 'rm -f "$new"' EXIT
while IFS= read -r line; do
    case $line in
        # Fernet needs 32 bytes in URL-safe base64. The other values can be used in a URL without escaping.
        AIRFLOW_FERNET_KEY=) line=$line$(openssl rand -base64 32 | tr '+/' '-_') ;;
        [A-Z]*=) line=$line$(openssl rand -hex 24) ;;
    esac
    printf '%s\n' "$line"
done < .env.example > "$new"
mv "$new" .env
echo "Made .env. The Airflow UI's user is admin, its password is AIRFLOW_ADMIN_PASSWORD in that file."
