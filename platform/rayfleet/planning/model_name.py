"""Which model a fleet names. Pure.

By label or annotation, as AIBrix's route controller reads it: names that no label can hold (``Qwen/Qwen3``) stand in
the annotation.
"""

import re
from collections.abc import Mapping

from rayfleet.model.fleet import Fleet
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.fleets import has_serving, served_model_name
from rayfleet.objects.labels import MODEL_LABEL
from rayfleet.objects.meta import annotations_of, labels_of, name_of
from rayfleet.objects.parts import part

_LABEL_VALUE = re.compile(r"(?=.{1,63}$)[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?", re.ASCII)


def model_name(fleet: Fleet) -> str | None:
    """Return the model that the fleet names: by its label, its template's label, or ``serving``; None: none."""
    template, serving = fleet.spec.template, fleet.spec.serving
    own = _named(fleet.meta.labels, fleet.meta.annotations)
    of_template = _named(template.labels, template.annotations) if template is not None else ""
    return own or of_template or (serving.served_model_name if serving is not None else "") or None


def model_of(raw: ReadOnlyJson) -> str | None:
    """Return ``model_name`` of a fleet as the API server gave it, also of one that cannot be accepted."""
    template = part(raw, "spec", "template")
    own = _named(labels_of(raw), annotations_of(raw))
    of_template = _named(labels_of(template), annotations_of(template))
    served = (served_model_name(raw) or name_of(raw)) if has_serving(raw) else ""
    return own or of_template or served or None


def model_labels(model: str) -> dict[str, str]:
    """Return the label that names a model on what serves it; none for a name that no label can hold."""
    return {MODEL_LABEL: model} if _LABEL_VALUE.fullmatch(model) else {}


def _named(labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    return labels.get(MODEL_LABEL) or annotations.get(MODEL_LABEL) or ""
