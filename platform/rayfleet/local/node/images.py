"""Which environment stands for a container image on this machine. Pure."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rayfleet.local.node.environments import CannotConfigure
from rayfleet.model.engine import LocalEnvironment

# The environment that runs the node itself stands for our own images.
HOST_IMAGES = ("rayfleet/sidecar", "rayfleet.local/host")
_HOST = LocalEnvironment(name="host", images=HOST_IMAGES)
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Where packages and models come from, and whom to trust for it: pods that fetch a model need it as the person who
# started them does.
_PASSED_ON = (
    "PIP_",
    "UV_",
    "SSL_CERT_",
    "REQUESTS_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "RAYFLEET_CACHE",
)


class ImageNotFound(CannotConfigure):
    """No local environment stands for the image; the pod's status shows it as ErrImagePull."""


def environment_of(image: str, environments: Sequence[LocalEnvironment]) -> LocalEnvironment:
    """Return the environment of an image (``name`` or ``name:tag``). Raises ImageNotFound, naming the known ones."""
    for environment in (*environments, _HOST):
        if environment.stands_for(image):
            return environment
    known_images = sorted({*HOST_IMAGES, *(each for environment in environments for each in environment.images)})
    raise ImageNotFound(
        f"image {image!r} has no environment on this machine; known: {', '.join(known_images)}. "
        "Use one of them, or a plugin that contributes a LocalEnvironment for it"
    )


def base_environment(
    environment: LocalEnvironment, own_bin: Path, cache: Path, variables: Mapping[str, str]
) -> dict[str, str]:
    """Return what a container has before its declared environment; nothing of the node's own beyond these names.

    Raises ImageNotFound when the environment has to be made first.
    """
    binaries = cache / environment.cache_folder / "bin" if environment.cache_folder else own_bin
    if not binaries.is_dir():
        raise ImageNotFound(
            f"the environment {environment.name!r} does not exist on this machine yet"
            + (f"; {environment.way_out}" if environment.way_out else "")
        )
    passed = {name: value for name, value in variables.items() if name.upper().startswith(_PASSED_ON)}
    return {
        **passed,
        "PATH": f"{binaries}:{_SYSTEM_PATH}",
        "HOME": variables.get("HOME", "/"),
        "LANG": variables.get("LANG", "C.UTF-8"),
        "RAYFLEET_CACHE": str(cache),
        "PYTHONUNBUFFERED": "1",
        **environment.environment,
    }
