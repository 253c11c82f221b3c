"""An authority of the tests' own, and certificates for servers on the loopback interface."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Certificates:
    """Files in PEM form.

    :param authority: certificate of an authority that no machine knows
    :param server: key and certificate of ``127.0.0.1``, signed by it
    :param self_signed: key and certificate of ``127.0.0.1``, signed by itself
    :param client: certificate of the client ``patterns_sync``, signed by the authority
    :param client_key: its private key
    """

    authority: Path
    server: Path
    self_signed: Path
    client: Path
    client_key: Path


_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def make_certificates(folder: Path) -> Certificates:
    """Make an authority, two certificates for ``127.0.0.1`` and one for a client, all valid for a day."""
    authority_key, server_key, own_key, client_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(4))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of the tests")])
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    authority = _signed(name, name, authority_key, authority_key, constraints, _SIGNS_CERTIFICATES)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    server = _signed(subject, name, server_key, authority_key, names)
    own = _signed(subject, subject, own_key, own_key, names, constraints, _SIGNS_CERTIFICATES)
    client = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "patterns_sync")])
    login = _signed(client, name, client_key, authority_key)
    names_of_files = ("authority.pem", "server.pem", "self_signed.pem", "client.pem", "client_key.pem")
    files = Certificates(*(folder / file for file in names_of_files))
    files.authority.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    files.server.write_bytes(_with_key(server, server_key))
    files.self_signed.write_bytes(_with_key(own, own_key))
    files.client.write_bytes(login.public_bytes(serialization.Encoding.PEM))
    files.client_key.write_bytes(_key(client_key))
    # libpq refuses a key that others may read.
    files.client_key.chmod(0o600)
    return files


def _with_key(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bytes:
    return _key(key) + certificate.public_bytes(serialization.Encoding.PEM)


def _key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _signed(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *extensions: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        # Python 3.13 and later ask for both identifiers.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    for extension in extensions:
        critical = not isinstance(extension, x509.SubjectAlternativeName)
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, hashes.SHA256())
