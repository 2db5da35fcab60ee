"""vLLM's published images: what they ship, and which known holes are open in them. Pure.

Sources: vLLM's docker/Dockerfile; Ray is left out since v0.18 (vllm-project/vllm#33445); the advisories of
vllm-project/vllm as PyPI's advisory database has them, November 2026.
"""

from rayfleet.model.engine import ImageFacts
from rayfleet.objects.images import image_reference
from rayfleet.plugin.images import Hole, is_named, risks, tagged_version

# The newest version that the launch plans were run with.
IMAGE = "vllm/vllm-openai:v0.32.0"
LOCAL_IMAGE = "rayfleet.local/vllm-cpu"

_PUBLISHED = frozenset({"vllm/vllm-openai", "vllm/vllm-openai-cpu"})
_WITHOUT_RAY_SINCE = (0, 18)
_SINCE = "since v0.18"
HOLES = (
    Hole(fixed=(0, 14, 0), name="CVE-2026-22807", words="a model's own code runs without --trust-remote-code"),
    Hole(fixed=(0, 18, 0), name="CVE-2026-27893", words="some models' code runs against --trust-remote-code=false"),
    Hole(fixed=(0, 22, 0), name="CVE-2026-47155", words="--revision does not pin all that is loaded"),
    Hole(fixed=(0, 22, 1), name="CVE-2026-54232", words="the image's build could take a stranger's package"),
    Hole(fixed=(0, 30, 0), name="CVE-2026-105757", words="a request with structured output can end the engine"),
    Hole(fixed=(0, 32, 0), name="CVE-2026-115911", words="a request's chat template can block all others"),
)


def image_facts(image: str) -> ImageFacts | None:
    """Return what is known of an image, None when nothing is."""
    if is_named(image, {LOCAL_IMAGE}):
        return ImageFacts(image=image, ships=("ray", "python3"), source="made by `make engines`")
    reference = image_reference(image)
    if reference.name not in _PUBLISHED:
        return None
    version = tagged_version(reference)
    is_newest = version is None and not reference.digest  # latest, nightly, or no tag at all
    if not is_newest and version is None:
        return ImageFacts(image=image, ships=("curl", "python3"), lacks=("wget",))
    if is_newest or (version or ()) >= _WITHOUT_RAY_SINCE:
        return ImageFacts(
            image=image,
            ships=("curl", "python3"),
            lacks=("ray", "wget"),
            source=_SINCE,
            risks=risks(version, HOLES),
        )
    return ImageFacts(
        image=image,
        ships=("curl", "python3", "ray"),
        lacks=("wget",),
        source="until v0.17",
        risks=risks(version, HOLES),
    )
