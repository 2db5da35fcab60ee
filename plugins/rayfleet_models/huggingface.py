"""A Hugging Face model folder out of a GGUF file.

By transformers, where this interpreter has it (vLLM's environment does).
"""

import shutil
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from rayfleet.model.errors import EnvironmentProblem


def is_model_folder(path: Path) -> bool:
    """Return whether ``path`` is a folder that transformers would load."""
    return (path / "config.json").is_file()


def convert_from_gguf(source: Path, target: Path, reference: str, progress: Callable[[str], None]) -> None:
    """Write model (bfloat16), tokenizer and chat template of ``source`` to the folder ``target``.

    The folder appears whole or not at all. Half a minute for 135M parameters, nearly all of it imports and the
    tokenizer. Raises EnvironmentProblem.
    """
    try:
        import_module("accelerate")  # transformers needs it for GGUF files, and says so only late
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
        from transformers.utils.logging import disable_progress_bar
    except ImportError as error:
        raise EnvironmentProblem(
            f"model {reference}: its Hugging Face form is made by transformers, torch, accelerate and gguf, "
            f"and this interpreter lacks {error.name or error}",
            way_out="Run `make engines` once, and fetch with the interpreter of the environment that it makes; "
            "or give the path of a Hugging Face folder.",
        ) from error
    began = time.monotonic()
    progress(f"converting {source.name} to a Hugging Face folder (once)")
    disable_progress_bar()  # our own lines tell; bars belong on a terminal
    with tempfile.TemporaryDirectory(prefix=".huggingface-", dir=target.parent) as name:
        folder, file = str(source.parent), source.name
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
        # Without dequantize the blocks stay packed, and save_pretrained refuses (transformers 5.19).
        model = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=file, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
        )
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        made = Path(name) / "made"
        model.to(torch.bfloat16).save_pretrained(made)
        tokenizer.save_pretrained(made)
        shutil.rmtree(target, ignore_errors=True)
        made.replace(target)
    progress(f"converted {source.name} in {time.monotonic() - began:.1f} s")
