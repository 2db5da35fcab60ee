"""What a replica needs on a node before it can start: its images, and the command that brings its model. Pure.

What a node has is not asked: kubelets tell of some of their images only, and of no weights. It has what the replica
that runs there was made from. An image without a fixed tag may be another one by now, so it counts as new.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.container_specs import container_image
from rayfleet.objects.images import image_reference
from rayfleet.objects.pod_specs import init_containers, main_containers
from rayfleet.objects.ray_spec import head_group, pod_spec, worker_groups

_MOVING_TAGS = frozenset({"", "latest"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """``images`` of all containers; ``bring`` is the shell command that brings the model, empty: none is known."""

    images: frozenset[str]
    bring: str = ""

    def is_there_with(self, old: "Load") -> bool:
        """Whether a node that a replica with the load ``old`` runs on has all of this."""
        return self.bring in {"", old.bring} and all(image in old.images and _is_fixed(image) for image in self.images)


def load_of(spec: ReadOnlyJson, bring: str) -> Load:
    """Return the load of a RayCluster's spec."""
    return Load(images=frozenset(_images(spec)), bring=bring)


def _images(spec: ReadOnlyJson) -> Iterator[str]:
    for group in (head_group(spec), *worker_groups(spec)):
        pod = pod_spec(group)
        for container in (*init_containers(pod), *main_containers(pod)):
            yield container_image(container)


def _is_fixed(image: str) -> bool:
    reference = image_reference(image)
    return bool(reference.digest) or reference.tag not in _MOVING_TAGS
