"""The field names that KubeRay's definition knows, for the check of misspelt ones in a template.

``python -m rayfleet.testing.known_fields`` writes them anew from KubeRay's own definition, at the version that
``realkube`` pins; a test compares the two. Names alone are kept, equal types once: 1 % of the definition.
"""

import json
import textwrap
from pathlib import Path

from rayfleet.manifest.structural import PRESERVE
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import RAY_CLUSTERS
from rayfleet.objects.parts import part
from rayfleet.preflight import known_names
from rayfleet.testing.definitions import read_definitions, schema_of
from rayfleet.testing.realkube import default_cache, kuberay_crds
from rayfleet.testing.realkube.build import KUBERAY_VERSION

_HEAD = '''\
"""The fields of a RayCluster spec by KubeRay's definition; ``rayfleet.testing.known_fields`` writes them. Pure.

Types end with ";". A type is its fields; ``name:3`` is of type 3, counted from 0, a bare name is any value. Type 0 has
no fields, the last one is the spec.
"""

'''
# KubeRay's definition leaves the metadata of pod templates open; these are ObjectMeta's (Kubernetes v1.36).
_META = (
    "annotations creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers generateName generation"
    " labels managedFields name namespace ownerReferences resourceVersion selfLink uid"
)


def known_fields(cache: Path) -> str:
    """Return the text of the module. Downloads the definition when ``cache`` lacks it; raises RealKubeError."""
    (definition,) = read_definitions(each for each in kuberay_crds(cache) if each.name == "ray.io_rayclusters.yaml")
    types = _Types()
    types.number(part(schema_of(definition, RAY_CLUSTERS.version), "properties", "spec"))
    stated = (" ".join(f"{name}:{place}" if place else name for name, place in each.items()) for each in types.fields)
    lines = "\n".join(textwrap.wrap(" ; ".join(stated), 118, break_long_words=False, break_on_hyphens=False))
    return f'{_HEAD}VERSION = "{KUBERAY_VERSION}"\nTYPES = """\n{lines}\n"""\n'


class _Types:
    """Types by their fields; a field's value is the place of its type, 0 for one that has no fields to know."""

    def __init__(self) -> None:
        self.fields: list[dict[str, int]] = [{}]
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
    target = Path(known_names.__file__)
    target.write_text(known_fields(default_cache()), encoding="utf-8")


if __name__ == "__main__":
    main()
