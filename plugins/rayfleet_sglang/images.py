"""SGLang's published images: what they ship, and which known holes are open in them. Pure.

Sources: SGLang's docker/Dockerfile (Ray is an extra of its own, ``sglang[ray]``, that the image leaves out); PyPI's
advisory database and the CVE list, November 2026. Where these say only until when a hole was open, the next version
counts as the one that closes it.
"""

from rayfleet.model.engine import ImageFacts
from rayfleet.objects.images import image_reference
from rayfleet.plugin.images import Hole, is_named, risks, tagged_version

IMAGE = "lmsysorg/sglang:v0.5.23"

HOLES = (
    Hole(fixed=(0, 5, 10), name="CVE-2026-3060", words="strangers on the network run code by disaggregated encoders"),
    Hole(fixed=(0, 5, 15), name="CVE-2026-14890", words="strangers on the network run code by expert-parallel backups"),
    Hole(fixed=(0, 5, 16), name="CVE-2026-15969", words="any client runs code by /load_lora_adapter_from_tensors"),
    Hole(fixed=(0, 5, 19), name="CVE-2026-86793", words="any client runs code by /update_weights_from_tensor"),
    Hole(fixed=(0, 5, 21), name="CVE-2026-93034", words="strangers on the network run code by --dist-init-addr"),
    Hole(fixed=(0, 5, 23), name="CVE-2026-112266", words="a client can end the requests of others"),
)


def image_facts(image: str) -> ImageFacts | None:
    """Return what is known of an image, None when nothing is."""
    if not is_named(image, {"lmsysorg/sglang"}):
        return None
    return ImageFacts(
        image=image,
        ships=("curl", "python3", "wget"),
        lacks=("ray",),
        source="an extra of its own",
        risks=risks(tagged_version(image_reference(image)), HOLES),
    )
