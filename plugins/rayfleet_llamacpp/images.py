"""What is known of images with llama.cpp: ours, and what stands for one whose programs split a model. Pure."""

from rayfleet import __version__
from rayfleet.model.engine import ImageFacts
from rayfleet.plugin.images import is_named

IMAGE_NAME = "rayfleet/llamacpp"
IMAGE = f"{IMAGE_NAME}:{__version__}"
# Programs of llama.cpp itself, built once by `make engines-full`.
LOCAL_RPC_IMAGE = "rayfleet.local/llamacpp-rpc"
RPC_ENVIRONMENT = "llamacpp-rpc-11434.0.0"


def image_facts(image: str) -> ImageFacts | None:
    """Return what is known of an image, None when nothing is."""
    if is_named(image, {LOCAL_RPC_IMAGE}):
        return ImageFacts(image=image, ships=("python3",), lacks=("ray",), source="made by `make engines-full`")
    return None
