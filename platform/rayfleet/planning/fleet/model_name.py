"""Which model a fleet names. Pure."""

from rayfleet.model.fleet import Fleet
from rayfleet.objects.labels import MODEL_LABEL


def model_name(fleet: Fleet) -> str | None:
    """Return the model that the fleet names: by its label, its template's label, or ``serving``."""
    if name := fleet.meta.labels.get(MODEL_LABEL):
        return name
    if fleet.spec.template is not None:
        return fleet.spec.template.labels.get(MODEL_LABEL)
    return fleet.spec.serving.served_model_name if fleet.spec.serving is not None else None
