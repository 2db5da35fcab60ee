"""``spec.serving``, from and to JSON. Pure."""

import re

from rayfleet.manifest.checking import shown
from rayfleet.model.errors import FieldError
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.serving import Backend, NodeResources, Parallelism, Serving
from rayfleet.objects.labels import MODEL_LABEL
from rayfleet.objects.parts import mapping

_LABEL_VALUE = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"


def decode_serving(raw: ReadOnlyJson, *, default_name: str) -> Serving:
    """Return the short form; ``default_name`` is the served model's name when none is given."""
    parallelism, resources = mapping(raw.get("parallelism")), mapping(raw.get("resources"))
    return Serving(
        engine=raw["engine"],
        model=raw["model"],
        served_model_name=raw.get("servedModelName") or default_name,
        nodes=raw.get("nodes") or 1,
        backend=Backend(raw.get("backend") or Backend.AUTO),
        parallelism=Parallelism(
            tensor=parallelism.get("tensor") or 1,
            pipeline=parallelism.get("pipeline") or 1,
        ),
        resources=NodeResources(
            cpu=_quantity(resources.get("cpu")),
            memory=_quantity(resources.get("memory")),
            accelerators=resources.get("accelerators") or 0,
            accelerator_resource=resources.get("acceleratorResource") or NodeResources().accelerator_resource,
        ),
        image=raw.get("image") or "",
        ray_version=raw.get("rayVersion") or "",
        arguments=tuple(raw.get("args") or ()),
        environment=dict(raw.get("env") or {}),
        restarted_at=raw.get("restartedAt") or "",
    )


def encode_serving(serving: Serving) -> Json:
    """Return the short form; what is empty or one by default is left out, so the text of equal values is equal."""
    resources: Json = {
        "cpu": serving.resources.cpu,
        "memory": serving.resources.memory,
        "accelerators": serving.resources.accelerators,
    }
    if serving.resources.accelerators:
        resources["acceleratorResource"] = serving.resources.accelerator_resource
    optional: Json = {
        "backend": "" if serving.backend is Backend.AUTO else serving.backend.value,
        "parallelism": _without(
            {"tensor": serving.parallelism.tensor, "pipeline": serving.parallelism.pipeline}, unsaid=1
        ),
        "resources": {name: value for name, value in resources.items() if value},
        "image": serving.image,
        "rayVersion": serving.ray_version,
        "args": list(serving.arguments),
        "env": dict(serving.environment),
        "restartedAt": serving.restarted_at,
    }
    return {
        "engine": serving.engine,
        "model": serving.model,
        "servedModelName": serving.served_model_name,
        "nodes": serving.nodes,
        **{name: value for name, value in optional.items() if value},
    }


def serving_errors(raw: ReadOnlyJson, label: str | None, path: str) -> tuple[FieldError, ...]:
    """Return what is wrong between the parts; ``label`` is the fleet's own ``model.aibrix.ai/name``."""
    name = raw.get("servedModelName")
    here = f"{path}.servedModelName"
    if name is None:
        return ()
    if not re.fullmatch(_LABEL_VALUE, name):
        message = f"{shown(name)} cannot be a label (63 letters, digits, '-', '_' and '.', no '/')"
        return (FieldError(path=here, message=message),)
    if label is not None and name != label:
        return (FieldError(path=here, message=f"{shown(name)} differs from the label {MODEL_LABEL}, {shown(label)}"),)
    return ()


def _quantity(value: object) -> str:
    return "" if value is None else str(value)


def _without(values: ReadOnlyJson, *, unsaid: object) -> Json:
    return {name: value for name, value in values.items() if value != unsaid}
