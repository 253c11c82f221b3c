#!/bin/sh
# Makes an authority and the certificates of the patterns database and of Qdrant in secrets/, for compose.tls.yaml:
#
#   sh include/deploy/new-certificates.sh [NAME ...]
#
# Both certificates are for their service's name, localhost, 127.0.0.1 and the names or IP addresses that you add. An authority that exists
# is kept: run this again to renew the certificates, and no client needs anything new.
set -eu
cd "$(dirname "$0")/../.."
if [ ! -d secrets ]; then
    echo "There is no folder secrets/: run \"sh include/deploy/new-env.sh\" first." >&2
    exit 1
fi
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

key() {
    openssl ecparam -name prime256v1 -genkey -noout -out "$1"
}

if [ ! -e secrets/ca.key ]; then
    cat > "$work/ca.cnf" << 'END'
[req]
distinguished_name = name
x509_extensions = extensions
prompt = no
[name]
CN = code-patterns
[extensions]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
END
    key "$work/ca.key"
    openssl req -x509 -new -key "$work/ca.key" -sha256 -days 3650 -config "$work/ca.cnf" -out "$work/ca.crt"
    chmod 444 "$work/ca.crt"
    mv "$work/ca.crt" "$work/ca.key" secrets/
    echo "Made the authority: secrets/ca.crt is for clients, secrets/ca.key signs."
fi

for server in patterns-db qdrant; do
    {
        printf 'basicConstraints = critical, CA:FALSE\n'
        printf 'keyUsage = critical, digitalSignature\n'
        printf 'extendedKeyUsage = serverAuth\n'
        printf 'subjectKeyIdentifier = hash\n'
        printf 'authorityKeyIdentifier = keyid\n'
        printf 'subjectAltName = DNS:%s, DNS:localhost, IP:127.0.0.1' "$server"
        for name in "$@"; do
            # Clients look for an address among addresses only. A name has a letter and no colon.
            case $name in
                *:*) printf ', IP:%s' "$name" ;;
                *[!0-9.]*) printf ', DNS:%s' "$name" ;;
                *) printf ', IP:%s' "$name" ;;
            esac
        done
        printf '\n'
    } > "$work/$server.ext"
    key "$work/$server.key"
    openssl req -new -key "$work/$server.key" -subj "/CN=$server" -out "$work/$server.csr"
    openssl x509 -req -in "$work/$server.csr" -CA secrets/ca.crt -CAkey secrets/ca.key -CAserial "$work/serial" \
        -CAcreateserial -sha256 -days 825 -extfile "$work/$server.ext" -out "$work/$server.crt" 2> /dev/null
    chmod 444 "$work/$server.crt" "$work/$server.key"
    mv "$work/$server.crt" "$work/$server.key" secrets/
    echo "Made secrets/$server.crt and secrets/$server.key; they are valid until$(openssl x509 -in "secrets/$server.crt" \
        -noout -enddate | cut -d= -f2 | sed 's/^/ /')."
done
