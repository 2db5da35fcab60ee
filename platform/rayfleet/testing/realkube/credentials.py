"""The files that say who may speak to a test's API server; each readable by its owner only."""

import base64
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rayfleet.testing.realkube.errors import RealKubeError


def write_private(path: Path, content: str | bytes) -> None:
    """Write a file with mode 0600, also while it is being written."""
    data = content.encode() if isinstance(content, str) else content
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def write_signing_key(private: Path, public: Path) -> None:
    """Write a new key pair (P-256, PEM) for service account tokens; the public half last.

    Raises ``RealKubeError`` when the ``cryptography`` package is not there.
    """
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise _no_cryptography() from error
    key = ec.generate_private_key(ec.SECP256R1())
    write_private(
        private,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    write_private(
        public,
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    )


def write_client_certificate(certificate: Path, key: Path, *, user: str, group: str) -> None:
    """Write a certificate that is its own authority, and its key: who trusts the one file knows ``user`` by it.

    Valid from an hour ago for 30 days. Raises ``RealKubeError`` when the ``cryptography`` package is not there.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID
    except ImportError as error:
        raise _no_cryptography() from error
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group), x509.NameAttribute(NameOID.COMMON_NAME, user)]
    )
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject_name=subject, issuer_name=subject, public_key=private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(key, private.private_bytes(*form))
    write_private(certificate, made.public_bytes(serialization.Encoding.PEM))


def render_kubeconfig(*, url: str, token: str, ca_pem: bytes) -> str:
    """Return a kubeconfig of one context, namespace ``default``, that needs no other file. Pure.

    It is JSON, which every reader of the YAML format takes.
    """
    name = "rayfleet-real-kubernetes"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": name,
                "cluster": {"server": url, "certificate-authority-data": base64.b64encode(ca_pem).decode("ascii")},
            }
        ],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
        "current-context": name,
    }
    return json.dumps(config, indent=2) + "\n"


def _no_cryptography() -> RealKubeError:
    return RealKubeError(
        "the package `cryptography` is not installed", way_out="It comes with `pip install 'rayfleet[local]'`."
    )
