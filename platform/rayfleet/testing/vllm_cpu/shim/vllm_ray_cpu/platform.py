"""The CPU platform with a name for Ray's accelerator slot; imported by vLLM alone, in every one of its processes.

The stock class leaves ``ray_device_key`` empty, and vLLM 0.32.0 then says "current platform cpu does not support ray".
"""

from vllm.platforms.cpu import CpuPlatform


class RayCpuPlatform(CpuPlatform):  # type: ignore[misc]  # vLLM publishes no types
    """Takes one logical ``GPU`` per rank, so that placement is that of a GPU cluster.

    Start Ray nodes with ``num-gpus=1``.
    """

    ray_device_key = "GPU"
