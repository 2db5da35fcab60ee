"""Hold documents to every rule, together: Services, routes and grants are looked at beside the fleets they serve. Pure.

Errors are what the decoder refuses (it holds KubeRay's list too) and what can never work; the controllers refuse the
former as well, whoever sent them. Warnings are what works, but hardly as it is meant.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from rayfleet.manifest.documents import Document
from rayfleet.manifest.fleet import decode_fleet
from rayfleet.manifest.replica_set import decode_replica_set
from rayfleet.model.errors import FieldError, ManifestError
from rayfleet.model.fleet import Fleet
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import FLEETS, REPLICA_SETS
from rayfleet.objects.fleets import model_reference
from rayfleet.objects.meta import annotations_of, kind_of, name_of
from rayfleet.objects.parts import part
from rayfleet.objects.ray_spec import accelerators, containers, head_group
from rayfleet.planning.fleet.bounds import rollout_bounds
from rayfleet.planning.overlay import read_engines
from rayfleet.planning.render import fleet_template
from rayfleet.plugin.checks import check_serving
from rayfleet.plugin.contracts import CommandReader
from rayfleet.plugin.model_split import split_problems
from rayfleet.plugin.reference import split_reference
from rayfleet.plugin.registry import Registry
from rayfleet.plugin.split_check import Shape
from rayfleet.preflight.documents import namespace_of
from rayfleet.preflight.findings import Finding, Severity
from rayfleet.preflight.known_fields import unknown_fields
from rayfleet.preflight.rules import images, network, ports, sizes, starting
from rayfleet.preflight.subject import Subject

RULES: Mapping[str, str] = {
    "field": "a field has a value that cannot be taken, or is not known",
    "name": "the name is none, or leaves no room for the names of Ray clusters and pods",
    "selector": "the selector does not select what the template makes",
    "kuberay-refuses": "KubeRay would refuse the RayCluster with an Event, and then be silent",
    "serving": "the engine or the model source is not here, or cannot do what spec.serving asks",
    "resources": "amounts that no API server takes: half an accelerator, requests above limits, unknown names",
    "parallelism": "tensor x pipeline x data does not fit the accelerators of a replica",
    "model-split": "tensor, pipeline or expert parallelism that the model's heads, layers or experts do not allow",
    "tensor-over-nodes": "tensor parallelism across pods: every layer waits for the network",
    "unknown-field": "KubeRay does not know a field of the RayCluster spec and drops it",
    "port-collision": "two processes of one pod listen on one port, Ray's implicit ones included",
    "service-hits-workers": "a Service sends requests to workers, where no engine listens",
    "missing-grant": "a route points into another namespace without a ReferenceGrant",
    "worker-range": "a range of workers that does nothing, or that fights an engine of fixed size",
    "surge-of-one": "one replica with accelerators whose rollout wants a second set of them",
    "pinned-pod": "a host name, host port or node that only one replica can have",
    "latest-image": "an image whose name may mean another one tomorrow",
    "image-without-ray": "a published image that ships no Ray",
    "known-holes": "a published image with known holes that a newer version closes",
    "mixed-images": "head and workers have different images",
    "installs-at-start": "packages are installed whenever a pod starts",
    "ray-version": "rayVersion is not the Ray of the image",
    "ray-probes": "KubeRay's probes of an old Ray run wget, which the image may lack",
    "no-ray-start": "KubeRay leaves the command as it is, and nothing in it starts Ray",
    "no-sidecar": "nobody asks the engine whether it is well",
    "blind-sidecar": "a sidecar that says ready without asking the engine",
    "prestop-ends-ray": "a worker ends Ray while the head still finishes requests",
}
"""Every rule by its name, in one line."""

_SUBJECT_RULES: Sequence[Callable[[Subject], Iterator[Finding]]] = (
    unknown_fields,
    sizes.ranks,
    sizes.splits,
    sizes.worker_ranges,
    sizes.surge_of_one,
    sizes.pinned_pods,
    ports.port_collisions,
    images.images_without_ray,
    images.known_holes,
    images.floating_images,
    images.mixed_images,
    images.boot_installs,
    images.ray_versions,
    images.ray_probes,
    starting.commands_without_ray,
    starting.missing_sidecar,
    starting.stopping_workers,
)
_RULE_OF_PATH = (  # the first that fits the path of a decoder's error
    (r"metadata\.name", "name"),
    (r"spec\.selector", "selector"),
    (r"spec\.template\.spec\..*\.resources\.(limits|requests)", "resources"),
    (r"spec\.template\.spec", "kuberay-refuses"),
    (r"spec\.serving", "serving"),
    ("", "field"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """A finding and the document that it is about."""

    document: Document
    finding: Finding


def lint(
    documents: Sequence[Document], plugins: Registry, shapes: Mapping[str, Shape] = MappingProxyType({})
) -> tuple[Located, ...]:
    """Return everything to change, in the order of the documents; errors of a document come first.

    ``shapes`` are those of the models whose folders are here, by what documents call them (``model_folders``).
    """
    looked_at = [(document, *_looked_at(document.raw, plugins, shapes)) for document in documents]
    subjects = [subject for _, _, subject in looked_at if subject is not None]
    raws = [document.raw for document in documents]
    located: list[Located] = []
    for document, errors, subject in looked_at:
        findings = [*errors, *(_judged(subject) if subject is not None else ())]
        findings += network.service_hits(document.raw, subjects)
        findings += network.missing_grants(document.raw, raws)
        errors_first = sorted(dict.fromkeys(findings), key=lambda each: each.severity is not Severity.ERROR)
        located += [Located(document=document, finding=finding) for finding in errors_first]
    return tuple(located)


def model_folders(documents: Sequence[Document], readers: Iterable[CommandReader]) -> frozenset[str]:
    """Return what documents call models that are folders, from the root: whoever can reads their ``config.json``."""
    known = tuple(readers)
    models = {model for document in documents for model in _models(document.raw, known)}
    return frozenset(model for model in models if split_reference(model).rest.startswith("/"))


def _models(raw: ReadOnlyJson, readers: Sequence[CommandReader]) -> Iterator[str]:
    yield model_reference(raw)
    for container in containers(head_group(part(raw, "spec", "template", "spec")))[:1]:
        yield from (command.model for command in read_engines(container, readers))


def _looked_at(
    raw: ReadOnlyJson, plugins: Registry, shapes: Mapping[str, Shape]
) -> tuple[list[Finding], Subject | None]:
    """Return what the decoder refuses and what the rules look at; nothing of another kind."""
    if kind_of(raw) == FLEETS.kind:
        return _fleet(raw, plugins, shapes)
    if kind_of(raw) != REPLICA_SETS.kind:
        return [], None
    errors: Sequence[FieldError] = ()
    try:
        decode_replica_set(raw)
    except ManifestError as error:
        errors = error.errors
    return [_refused(each) for each in errors], replace(_subject(raw, plugins), shapes=shapes)


def _fleet(raw: ReadOnlyJson, plugins: Registry, shapes: Mapping[str, Shape]) -> tuple[list[Finding], Subject | None]:
    fleet: Fleet | None = None
    errors: Sequence[FieldError] = ()
    try:
        fleet = decode_fleet(raw)
        if fleet.spec.serving is not None:
            check_serving(fleet, fleet.spec.serving, plugins.engines, plugins.model_sources)
            errors = tuple(split_problems(fleet.spec.serving, shapes.get(fleet.spec.serving.model)))
    except ManifestError as error:
        errors = error.errors
    findings = [_refused(each) for each in errors]
    if fleet is None or fleet.spec.serving is None:
        has_template = bool(part(raw, "spec", "template"))
        return findings, replace(_subject(raw, plugins, fleet), shapes=shapes) if has_template else None
    if errors:
        return findings, None
    template = fleet_template(fleet, plugins.engines)
    rendered = {"metadata": {"annotations": template.annotations}, "spec": template.spec}
    return findings, replace(_subject({**raw, "spec": {"template": rendered}}, plugins, fleet), path=_SERVING)


_SERVING = "spec.serving"


def _subject(raw: ReadOnlyJson, plugins: Registry, fleet: Fleet | None = None) -> Subject:
    template = part(raw, "spec", "template")
    spec = part(template, "spec")
    has_accelerators = accelerators(spec) > 0
    return Subject(
        raw=raw,
        name=name_of(raw),
        namespace=namespace_of(raw),
        spec=spec,
        path="spec.template.spec",
        annotations=annotations_of(template),
        fleet=fleet,
        bounds=rollout_bounds(fleet.spec, has_accelerators=has_accelerators) if fleet is not None else None,
        readers=tuple(plugins.command_readers.values()),
        environments=tuple(plugins.local_environments.values()),
    )


def _judged(subject: Subject) -> Iterator[Finding]:
    """Yield what the rules say; of a rendered template at the field that it was rendered from."""
    for rule in _SUBJECT_RULES:
        for finding in rule(subject):
            is_rendered = finding.path.startswith(f"{_SERVING}.")
            yield replace(finding, path=_SERVING) if is_rendered else finding


def _refused(error: FieldError) -> Finding:
    rule = next(rule for pattern, rule in _RULE_OF_PATH if re.match(pattern, error.path))
    return Finding(rule=rule, path=error.path, message=error.message, severity=Severity.ERROR)
