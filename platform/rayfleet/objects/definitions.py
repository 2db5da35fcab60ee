"""Facts of a CustomResourceDefinition: which kind it serves, and whether that has a scale. Pure.

Source: Kubernetes 1.36, apiextensions.k8s.io/v1.
"""

from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import ResourceType
from rayfleet.objects.conditions import is_true
from rayfleet.objects.parts import mappings, part


def served_kind(definition: ReadOnlyJson) -> ResourceType | None:
    """Return the kind in the version that is stored, or else in the first that is served.

    None while none is: not accepted yet, or no version served.
    """
    spec, names = part(definition, "spec"), part(definition, "spec", "names")
    served = [each for each in mappings(spec.get("versions")) if each.get("served")]
    if not served or not is_true(definition, "Established"):
        return None
    version = next((each for each in served if each.get("storage")), served[0])
    return ResourceType(
        group=str(spec.get("group")),
        version=str(version.get("name")),
        plural=str(names.get("plural")),
        kind=str(names.get("kind")),
        is_namespaced=spec.get("scope") == "Namespaced",
    )


def has_scale(definition: ReadOnlyJson) -> bool:
    """Whether objects of the kind have a scale, in any version that is served."""
    versions = mappings(part(definition, "spec").get("versions"))
    return any("scale" in part(each, "subresources") for each in versions if each.get("served"))
