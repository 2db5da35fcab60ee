"""The files that say who may speak to a test's API server; each readable by its owner only."""

import base64
import json
import os
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
        raise RealKubeError(
            "the package `cryptography` is not installed", way_out="It comes with `pip install 'rayfleet[local]'`."
        ) from error
    key = ec.generate_private_key(ec.SECP256R1())
    write_private(
        private,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    write_private(
        public,
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    )


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
