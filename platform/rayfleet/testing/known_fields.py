"""The field names that KubeRay's definition knows, for the check of misspelt ones in a template.

``python -m rayfleet.testing.known_fields`` writes them anew from KubeRay's own definition, at the version that
``realkube`` pins; a test compares the two. Names alone are kept, equal types once: 1 % of the definition.
"""

import json
from pathlib import Path

from rayfleet.manifest.structural import PRESERVE
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import RAY_CLUSTERS
from rayfleet.objects.parts import part
from rayfleet.preflight.known_fields import FILE_NAME
from rayfleet.testing.definitions import read_definitions, schema_of
from rayfleet.testing.realkube import default_cache, kuberay_crds
from rayfleet.testing.realkube.build import KUBERAY_VERSION

# KubeRay's definition leaves the metadata of pod templates open; these are ObjectMeta's (Kubernetes v1.36).
_META = (
    "annotations creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers generateName generation"
    " labels managedFields name namespace ownerReferences resourceVersion selfLink uid"
)


def known_fields(cache: Path) -> str:
    """Return the text of the file. Downloads the definition when ``cache`` lacks it; raises RealKubeError."""
    (definition,) = read_definitions(each for each in kuberay_crds(cache) if each.name == "ray.io_rayclusters.yaml")
    types = _Types()
    types.number(part(schema_of(definition, RAY_CLUSTERS.version), "properties", "spec"))
    lines = ",\n".join(json.dumps(each, separators=(",", ":")) for each in types.fields)
    return f'{{"version":"{KUBERAY_VERSION}","types":[\n{lines}\n]}}\n'


class _Types:
    """Types by their fields; a field's value is the place of its type, 0 for one that has no fields to know."""

    def __init__(self) -> None:
        self.fields: list[Json] = [{}]
        self._places: dict[str, int] = {}

    def number(self, schema: ReadOnlyJson, name: str = "") -> int:
        """Return the place of the type of ``schema``, or of the items of a list."""
        if "items" in schema:
            return self.number(part(schema, "items"))
        fields = {each: self.number(inner, each) for each, inner in sorted(part(schema, "properties").items())}
        if name == "metadata" and not fields:
            fields = dict.fromkeys(_META.split(), 0)
        if not fields or schema.get(PRESERVE):
            return 0
        text = json.dumps(fields)
        if text not in self._places:
            self._places[text] = len(self.fields)
            self.fields.append(fields)
        return self._places[text]


def main() -> None:
    """Write the file in this source tree."""
    target = Path(__file__).parents[1] / "preflight" / FILE_NAME
    target.write_text(known_fields(default_cache()), encoding="utf-8")


if __name__ == "__main__":
    main()
