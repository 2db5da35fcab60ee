"""From a kubeconfig, or from inside a pod, to a client.

A plain kubeconfig (token, certificates) is read here, because importing the official client takes 0.5 s longer than a
whole ``rayfleet get`` should. Everything else (exec plugins, OIDC, cloud providers, the service account of a pod) is
borrowed from ``kubernetes.aio.config``, imported only then.
"""

import asyncio
import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from rayfleet.kube.address import KubeAddress, TokenFile
from rayfleet.kube.client import ClientSettings, KubeClient
from rayfleet.kube.kubeconfig import read_kubeconfigs
from rayfleet.model.errors import SettingsError

Kubeconfig = Path | Sequence[Path] | None
"""One file, several that are merged, or None: the service account of the pod that this runs in."""

_BORROWED_USER_FIELDS = ("exec", "auth-provider")
_BORROWED_REFRESH_SECONDS = 60


async def connect(
    kubeconfig: Kubeconfig, context: str | None = None, settings: ClientSettings | None = None
) -> KubeClient:
    """Return a client, not yet entered, for a context of ``kubeconfig``; None means the pod that this runs in.

    Raises SettingsError naming the file and the field.
    """
    return KubeClient(await read_address(kubeconfig, context), settings)


async def read_address(kubeconfig: Kubeconfig, context: str | None = None) -> KubeAddress:
    """Return where ``connect`` would connect. Raises SettingsError."""
    if kubeconfig is None:
        if context:
            raise SettingsError(
                "there is no kubeconfig that could have contexts", way_out="Name one with --kubeconfig."
            )
        return _address_in_cluster()
    files = (kubeconfig,) if isinstance(kubeconfig, Path) else tuple(kubeconfig)
    document = await asyncio.to_thread(read_kubeconfigs, files)
    try:
        user = chosen_user(document, context)
        if any(name in user for name in _BORROWED_USER_FIELDS):
            return await _borrowed_address(files, document, context)
        return decode_kubeconfig(document, context=context)
    except SettingsError as error:
        raise SettingsError(f"{os.pathsep.join(map(str, files))}: {error.message}", way_out=error.way_out) from error


def chosen_user(document: Mapping[str, Any], context: str | None = None) -> Mapping[str, Any]:
    """Return the user of a context (the current one for None), empty when it names none. Pure. Raises SettingsError."""
    name = _chosen_context(document, context).get("user")
    return _named(document, "users", "user", name) if name else {}


def decode_kubeconfig(document: Mapping[str, Any], *, context: str | None = None) -> KubeAddress:
    """Return the address that a plain kubeconfig tells. Pure. Raises SettingsError."""
    chosen = _chosen_context(document, context)
    cluster = _named(document, "clusters", "cluster", chosen.get("cluster"))
    user = chosen_user(document, context)
    if not cluster.get("server"):
        raise SettingsError(f"clusters: {chosen.get('cluster')!r} has no `server`")
    token_file = _path(user.get("tokenFile"))
    return KubeAddress(
        url=str(cluster["server"]),
        token=_token(user),
        ca_file=_path(cluster.get("certificate-authority")),
        ca_data=_decoded(cluster, "certificate-authority-data"),
        client_certificate_file=_path(user.get("client-certificate")),
        client_key_file=_path(user.get("client-key")),
        client_certificate_data=_decoded(user, "client-certificate-data"),
        client_key_data=_decoded(user, "client-key-data"),
        server_name=str(cluster.get("tls-server-name") or ""),
        is_verified=not cluster.get("insecure-skip-tls-verify"),
        namespace=str(chosen.get("namespace") or "default"),
        credentials=TokenFile(token_file) if token_file and not user.get("token") else None,
    )


def _chosen_context(document: Mapping[str, Any], context: str | None) -> Mapping[str, Any]:
    name = context or document.get("current-context")
    if not name:
        raise SettingsError(
            "`current-context` is not set",
            way_out="`kubectl config use-context NAME` sets it; the commands of `rayfleet` also take --context.",
        )
    return _named(document, "contexts", "context", name)


def _named(document: Mapping[str, Any], plural: str, singular: str, name: object) -> Mapping[str, Any]:
    entries: Sequence[Mapping[str, Any]] = document.get(plural) or ()
    for entry in entries:
        if entry.get("name") == name:
            return entry.get(singular) or {}
    known = ", ".join(str(entry.get("name")) for entry in entries) or "none"
    raise SettingsError(f"{plural}: there is no {name!r}", way_out=f"Known: {known}.")


def _decoded(fields: Mapping[str, Any], name: str) -> str:
    if not fields.get(name):
        return ""
    try:
        return base64.b64decode(fields[name], validate=False).decode("utf-8")
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{name}: is not base64 of PEM text") from error


def _token(user: Mapping[str, Any]) -> str:
    if user.get("username") and not user.get("token"):
        raise SettingsError("users: user name and password are not spoken by API servers since Kubernetes 1.19")
    return str(user.get("token") or "")


class _BorrowedCredentials:
    """The official client's loader, asked again once a minute; it knows itself what has expired."""

    def __init__(self, loader: Any, configuration: Any) -> None:
        self._loader = loader
        self._configuration = configuration
        self._loaded_at = monotonic()

    async def authorization(self) -> str:
        if monotonic() - self._loaded_at >= _BORROWED_REFRESH_SECONDS:
            await self._loader.load_and_set(self._configuration)
            self._loaded_at = monotonic()
        return str(self._configuration.api_key.get("BearerToken") or "")


async def _borrowed_address(files: Sequence[Path], document: Mapping[str, Any], context: str | None) -> KubeAddress:
    from kubernetes.aio.client import Configuration
    from kubernetes.aio.config import ConfigException, load_kube_config

    configuration = Configuration()
    try:
        loader = await load_kube_config(
            config_file=os.pathsep.join(map(str, files)),
            context=context or document.get("current-context"),  # of several files the loader would take the last's
            client_configuration=configuration,
            persist_config=False,
        )
    except ConfigException as error:
        raise SettingsError(str(error)) from error
    credentials = _BorrowedCredentials(loader, configuration)
    if not configuration.api_key.get("BearerToken") and not configuration.cert_file:
        raise SettingsError("the user's exec plugin or auth provider gave no credentials; its error stands above")
    return KubeAddress(
        url=configuration.host,
        ca_file=_path(configuration.ssl_ca_cert),
        client_certificate_file=_path(configuration.cert_file),
        client_key_file=_path(configuration.key_file),
        server_name=configuration.tls_server_name or "",
        is_verified=bool(configuration.verify_ssl),
        namespace=str(_chosen_context(document, context).get("namespace") or "default"),
        credentials=credentials,
    )


def _address_in_cluster() -> KubeAddress:
    from kubernetes.aio.client import Configuration
    from kubernetes.aio.config import ConfigException
    from kubernetes.aio.config.incluster_config import SERVICE_TOKEN_FILENAME, load_incluster_config

    configuration = Configuration()
    try:
        load_incluster_config(configuration)
    except ConfigException as error:
        raise SettingsError(
            f"there is no kubeconfig and this is no pod: {error}", way_out="Name a kubeconfig with --kubeconfig."
        ) from error
    namespace_file = Path(SERVICE_TOKEN_FILENAME).with_name("namespace")
    namespace = namespace_file.read_text("utf-8").strip() if namespace_file.is_file() else "default"
    return KubeAddress(
        url=configuration.host,
        ca_file=_path(configuration.ssl_ca_cert),
        namespace=namespace,
        credentials=TokenFile(Path(SERVICE_TOKEN_FILENAME)),
    )


def _path(name: str | None) -> Path | None:
    return Path(name) if name else None
