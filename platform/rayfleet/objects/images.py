"""References of container images: name, tag, digest. Pure.

Source: the reference grammar of ``distribution/reference``; ``docker.io/`` and ``library/`` may be left out.
"""

from dataclasses import dataclass

_MAY_BE_LEFT_OUT = ("docker.io/", "index.docker.io/", "library/")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """``name`` without what may be left out of it; ``tag`` and ``digest`` are empty when they are not said."""

    name: str
    tag: str = ""
    digest: str = ""


def image_reference(text: str) -> ImageReference:
    """Return the parts: ``docker.io/vllm/vllm-openai:v0.7.1`` is ``vllm/vllm-openai``, ``v0.7.1``."""
    rest, _, digest = text.partition("@")
    folder, slash, last = rest.rpartition("/")
    last, _, tag = last.partition(":")  # a colon before the last slash is a registry's port
    name = f"{folder}{slash}{last}"
    for part in _MAY_BE_LEFT_OUT:
        name = name.removeprefix(part)
    return ImageReference(name=name, tag=tag, digest=digest)
