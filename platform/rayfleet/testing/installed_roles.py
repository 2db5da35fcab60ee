"""The roles of an installation on an API server, and clients that have no other rights.

Only what says who may do what is made of what ``rayfleet install`` prints: no Deployment, no definition.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from rayfleet.deploy.install import DEFAULT_NAMESPACE, install_objects
from rayfleet.kube.address import KubeAddress
from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import AlreadyExists
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import NAMESPACES, SERVICE_ACCOUNTS, ResourceType
from rayfleet.objects.meta import name_of
from rayfleet.objects.parts import mappings

_RBAC = "rbac.authorization.k8s.io"
CLUSTER_ROLES = ResourceType(group=_RBAC, version="v1", plural="clusterroles", kind="ClusterRole", is_namespaced=False)
ROLES = ResourceType(group=_RBAC, version="v1", plural="roles", kind="Role")
CLUSTER_ROLE_BINDINGS = ResourceType(
    group=_RBAC, version="v1", plural="clusterrolebindings", kind="ClusterRoleBinding", is_namespaced=False
)
ROLE_BINDINGS = ResourceType(group=_RBAC, version="v1", plural="rolebindings", kind="RoleBinding")
_MADE = {
    each.kind: each
    for each in (NAMESPACES, SERVICE_ACCOUNTS, CLUSTER_ROLES, ROLES, CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS)
}


@dataclass(frozen=True, slots=True, order=True)
class Access:
    """One verb on one resource (``rayclusters``, ``rayclusters/status``) of an API group, empty for the core's."""

    group: str
    resource: str
    verb: str


def allowed_by(roles: Iterable[ReadOnlyJson]) -> frozenset[Access]:
    """Return what the rules of Roles and ClusterRoles allow; other objects allow nothing. Pure."""
    return frozenset(
        Access(group, resource, verb)
        for role in roles
        for rule in mappings(role.get("rules"))
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    )


def rendered_roles(component: str) -> Sequence[Json]:
    """Return the Roles and ClusterRoles of ``controller`` or ``gateway`` as they are installed."""
    kinds = {CLUSTER_ROLES.kind, ROLES.kind}
    return [each for each in install_objects({}) if each["kind"] in kinds and name_of(each) == f"rayfleet-{component}"]


async def install_roles(client: KubeClient) -> None:
    """Make accounts, roles and bindings, and the namespace that they are in; what is there stays."""
    for manifest in await asyncio.to_thread(install_objects, {}):
        if manifest["kind"] in _MADE:
            with suppress(AlreadyExists):
                await client.create(_MADE[manifest["kind"]], manifest)


async def account_token(client: KubeClient, component: str) -> str:
    """Return a token of the service account of ``controller`` or ``gateway``."""
    request: ReadOnlyJson = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {"name": f"rayfleet-{component}", "namespace": DEFAULT_NAMESPACE},
        "spec": {},
    }
    made = await client.create(SERVICE_ACCOUNTS, request, subresource="token")
    return str(made["status"]["token"])


async def account_address(client: KubeClient, component: str) -> KubeAddress:
    """Return the address of ``client``'s server, itself reached by a token, for who has that account's rights alone."""
    token = await account_token(client, component)
    return replace(client.address, token=token)
