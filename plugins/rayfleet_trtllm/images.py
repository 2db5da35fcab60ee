"""TensorRT-LLM's published images: what they ship, and which known holes are open in them. Pure.

Sources: NVIDIA's documentation ("Ray Orchestrator": Ray has to be installed first), its product security bulletins and
the CVE list, November 2026.
"""

from rayfleet.model.engine import ImageFacts
from rayfleet.objects.images import image_reference
from rayfleet.plugin.images import Hole, is_named, risks, tagged_version

IMAGE = "nvcr.io/nvidia/tensorrt-llm/release:1.4.0rc4"

HOLES = (
    Hole(fixed=(1, 2), name="CVE-2026-24142", words="what another process hands over can run code"),
    Hole(fixed=(1, 3), name="CVE-2026-24227", words="data that is read back can run code"),
    Hole(fixed=(1, 3), name="CVE-2026-65119", words="a tokenizer that the router loads can run code"),
)


def image_facts(image: str) -> ImageFacts | None:
    """Return what is known of an image, None when nothing is."""
    if not is_named(image, {"nvcr.io/nvidia/tensorrt-llm/release"}):
        return None
    return ImageFacts(
        image=image,
        ships=("python3",),
        lacks=("ray",),
        source="it has to be installed first",
        risks=risks(tagged_version(image_reference(image)), HOLES),
    )
