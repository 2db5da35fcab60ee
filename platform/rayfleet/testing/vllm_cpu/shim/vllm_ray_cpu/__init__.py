"""A vLLM platform plugin (entry point group ``vllm.platform_plugins``, vLLM 0.32.0), off unless ``VLLM_RAY_CPU=1``."""

import os


def register() -> str | None:
    """Return the platform class that vLLM shall use, or None to leave the choice to vLLM.

    VLLM calls this in every process.
    """
    return "vllm_ray_cpu.platform.RayCpuPlatform" if os.environ.get("VLLM_RAY_CPU") == "1" else None
