"""A kind that cannot be read now, and why: a fact that plans may rest on. Pure.

Only what the API server said several times is one: no such kind (404: its definition is not installed), or not for us
(403: a Role lacks it). A server that is away says nothing about its kinds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from rayfleet.model.resources import FLEETS, HTTP_ROUTES, RAY_CLUSTERS, REPLICA_SETS, ResourceType


class AbsenceReason(StrEnum):
    """Why a kind cannot be read; the values stand as reasons in conditions."""

    NO_SUCH_KIND = "NoSuchKind"
    FORBIDDEN = "Forbidden"


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """``message`` says which kind, and what to do about it."""

    reason: AbsenceReason
    message: str

    @property
    def is_empty(self) -> bool:
        """Whether there surely is no object of the kind; one that we may not read may have any number."""
        return self.reason is AbsenceReason.NO_SUCH_KIND


def no_such_kind(resource: ResourceType) -> Absence:
    """Return the absence of a kind that the API server does not know."""
    message = f"the API server does not know {resource.kind} of {resource.api_version}"
    way_out = _WAYS_OUT.get(resource)
    return Absence(reason=AbsenceReason.NO_SUCH_KIND, message=f"{message}. {way_out}" if way_out else message)


def forbidden_kind(resource: ResourceType, answer: str) -> Absence:
    """Return the absence of a kind that may not be read; ``answer`` are the API server's words."""
    return Absence(reason=AbsenceReason.FORBIDDEN, message=f"{resource.kind} may not be listed and watched: {answer}")


_OURS = "Install rayfleet's CRDs: rayfleet install | kubectl apply --server-side -f -"
_WAYS_OUT: Mapping[ResourceType, str] = {
    FLEETS: _OURS,
    REPLICA_SETS: _OURS,
    RAY_CLUSTERS: "Install KubeRay 1.3 or newer (its Helm chart kuberay-operator brings the CRD).",
    HTTP_ROUTES: "Install the Gateway API's CRDs (standard channel), https://gateway-api.sigs.k8s.io.",
}
