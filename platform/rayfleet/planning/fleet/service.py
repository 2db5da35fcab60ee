"""The Service of a fleet that names a model: its head pods, and no worker: nothing listens there. Pure.

Level-triggered and owned: fields that we write are set right when they drift, others stay as they are; it goes when the
fleet names no model any more. It selects by the fleet alone, so a model of another name, or a template without the
label, leaves no replica out. Its port for clients is always 8000; where engines listen differs between revisions, so
the target is the *name* that all of them give to their port, if they give one: a rollout to another port then breaks no
request.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from rayfleet.model.fleet import RayClusterTemplate
from rayfleet.model.json import Json
from rayfleet.model.ports import ENGINE_PORT, SIDECAR_PORT
from rayfleet.model.resources import FLEETS, SERVICES
from rayfleet.objects.labels import FLEET_LABEL, HEAD_NODE_TYPE, MODEL_PORT_LABEL, NODE_TYPE_LABEL
from rayfleet.objects.meta import name_of
from rayfleet.objects.owners import controller_reference, without_owners
from rayfleet.objects.ray_spec import head_group, names_of_port
from rayfleet.objects.services import service_ports
from rayfleet.planning.drift import drift_patch
from rayfleet.planning.model_name import model_labels, model_name
from rayfleet.planning.names import service_name
from rayfleet.planning.observed import ObservedFleet
from rayfleet.planning.route.users import port_named
from rayfleet.planning.writes import Action, Create, Delete, Merge, ref_of

SERVE_PORT = "serve"
"""The name of the Service's port for clients."""


def service_actions(observed: ObservedFleet) -> Iterator[Action]:
    """Yield what to write so that the fleet's Service is as it ought to be."""
    name, model = service_name(observed.fleet.meta), model_name(observed.fleet)
    if model is None:
        yield from (Delete(resource=SERVICES, ref=ref_of(service)) for service in observed.services)
        return
    desired = service_manifest(observed, model)
    current = next((service for service in observed.services if name_of(service) == name), None)
    if current is None:
        yield Create(resource=SERVICES, manifest=desired)
        return
    if patch := drift_patch(current, without_owners(desired), exact=(("spec", "selector"),)):
        yield Merge(resource=SERVICES, ref=ref_of(current), patch=patch)


def service_manifest(observed: ObservedFleet, model: str) -> Json:
    """Return the fleet's Service as it ought to be."""
    meta = observed.fleet.meta
    return {
        "apiVersion": SERVICES.api_version,
        "kind": SERVICES.kind,
        "metadata": {
            "name": service_name(meta),
            "namespace": meta.namespace,
            "labels": {**model_labels(model), FLEET_LABEL: meta.name},
            "ownerReferences": [controller_reference(FLEETS, meta.name, meta.uid)],
        },
        "spec": {
            "selector": {FLEET_LABEL: meta.name, NODE_TYPE_LABEL: HEAD_NODE_TYPE},
            "ports": [
                {"name": SERVE_PORT, "port": ENGINE_PORT, "protocol": "TCP", "targetPort": _engine_target(observed)},
                {"name": "http", "port": SIDECAR_PORT, "protocol": "TCP", "targetPort": SIDECAR_PORT},
            ],
        },
    }


def _engine_target(observed: ObservedFleet) -> int | str:
    """Return where engines listen: the name that all revisions in use give to the port, else a number.

    Without a common name it is the number of the revision with the most ready Ray clusters (the older of equals).
    """
    in_use = _templates_in_use(observed)
    ports = [_port(observed, template) for template, _ in in_use]
    heads = [head_group(template.spec) for template, _ in in_use]
    names = [names_of_port(head, port) for head, port in zip(heads, ports, strict=True)]
    common = [name for name in names[0] if all(name in others for others in names)]
    if common:
        known = _known_target(observed)
        return known if known in common else common[0]
    ready: Counter[int] = Counter()
    for (_, count), port in zip(in_use, ports, strict=True):
        ready[port] += count
    return ready.most_common(1)[0][0]


def _templates_in_use(observed: ObservedFleet) -> Sequence[tuple[RayClusterTemplate, int]]:
    """Return the templates that have Ray clusters, oldest first, and the fleet's own, with how many are ready."""
    in_use: list[tuple[RayClusterTemplate, int]] = []
    for replica_set in sorted(observed.replica_sets, key=lambda each: (str(each.meta.created_at), each.meta.name)):
        clusters = observed.ray_clusters.get(replica_set.meta.uid, ())
        if clusters:
            in_use.append((replica_set.spec.template, sum(cluster.is_ready for cluster in clusters)))
    return [*in_use, (observed.template, 0)]


def _port(observed: ObservedFleet, template: RayClusterTemplate) -> int:
    """Return the port that ``model.aibrix.ai/port`` names on template or fleet, else 8000."""
    return port_named(template.labels.get(MODEL_PORT_LABEL) or observed.fleet.meta.labels.get(MODEL_PORT_LABEL, ""))


def _known_target(observed: ObservedFleet) -> int | str | None:
    name = service_name(observed.fleet.meta)
    ports = (port for service in observed.services if name_of(service) == name for port in service_ports(service))
    return next((port.target for port in ports if port.port == ENGINE_PORT), None)
