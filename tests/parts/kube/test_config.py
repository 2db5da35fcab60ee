"""Kubeconfigs: what a plain one says, what is wrong with it, and that reading it stays cheap."""

import base64
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayfleet.kube.config import chosen_user, decode_kubeconfig, read_address
from rayfleet.model.errors import SettingsError


def document(user: dict[str, Any], **cluster: Any) -> dict[str, Any]:
    return {
        "current-context": "here",
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "team"}},
            {"name": "there", "context": {"cluster": "missing", "user": "u"}},
        ],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", **cluster}}],
        "users": [{"name": "u", "user": user}],
    }


def test_a_token_and_a_file() -> None:
    config = document({"token": "s3cret"}, **{"certificate-authority": "/etc/k/ca.crt"})
    address = decode_kubeconfig(config)
    assert (address.url, address.token, address.namespace) == ("https://127.0.0.1:1", "s3cret", "team")
    assert address.ca_file == Path("/etc/k/ca.crt")
    assert "s3cret" not in repr(address)


def test_embedded_certificates_are_decoded() -> None:
    pem = base64.b64encode(b"PEM").decode()
    config = document({"client-certificate-data": pem}, **{"certificate-authority-data": pem})
    address = decode_kubeconfig(config)
    assert (address.ca_data, address.client_certificate_data) == ("PEM", "PEM")


@pytest.mark.parametrize(
    ("config", "context", "words"),
    [
        ({}, None, "current-context"),
        (document({}), "nowhere", "contexts: there is no 'nowhere'"),
        (document({}), "there", "clusters: there is no 'missing'"),
        (document({}, server=""), None, "no `server`"),
        (document({}, **{"certificate-authority-data": "ÄÄ"}), None, "certificate-authority-data"),
        (document({"username": "a", "password": "b"}), None, "user name and password"),
    ],
)
def test_an_error_names_the_field(config: dict[str, Any], context: str | None, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        decode_kubeconfig(config, context=context)


async def test_an_error_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nofile"):
        await read_address(tmp_path / "nofile")
    broken = tmp_path / "broken"
    broken.write_text("a: [")
    with pytest.raises(SettingsError, match="broken"):
        await read_address(broken)
    broken.write_text(yaml.safe_dump(document({}, server="")))
    with pytest.raises(SettingsError, match="broken"):
        await read_address(broken)


async def test_a_token_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n")
    config = tmp_path / "config"
    config.write_text(yaml.safe_dump(document({"tokenFile": "token"})))
    address = await read_address(config)
    assert await address.who().authorization() == "Bearer abc"


async def test_an_exec_plugin_is_borrowed_from_the_official_client(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin"
    answer = '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"fromexec"}}'
    plugin.write_text(f"#!/bin/sh\necho '{answer}'\n")
    plugin.chmod(0o755)
    user = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin), "interactiveMode": "Never"}
    }
    config = tmp_path / "config"
    config.write_text(yaml.safe_dump(document(user)))
    address = await read_address(config)
    assert address.url == "https://127.0.0.1:1"
    assert await address.who().authorization() == "Bearer fromexec"


def test_a_context_without_user_has_no_credentials() -> None:
    config = document({})
    config["contexts"][0]["context"].pop("user")
    assert chosen_user(config) == {}


def test_the_import_brings_no_official_client() -> None:
    program = "import sys, rayfleet.kube.config; print('kubernetes' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
