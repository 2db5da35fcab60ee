"""``python -m rayfleet.testing.llamacpp_rpc build``: llama.cpp's programs with RPC, built once from source."""

import sys

from rayfleet.testing.environments import run_maker
from rayfleet.testing.llamacpp_rpc.build import ensure_programs

if __name__ == "__main__":
    sys.exit(run_maker("rayfleet.testing.llamacpp_rpc", "build", __doc__, ensure_programs))
