"""``python -m tests.gpu [--python PATH] [--device cuda|host]``: what only a GPU can show, in about a minute.

Exit code 0 when all was seen, 1 with the step that was not, 69 with what this machine lacks.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.gpu.needs import EXIT_CODE, Missing, device_name
from tests.gpu.scenario import HOST, Run, carry_out

from rayfleet.local.up.launch import any_port
from rayfleet.plugin.settings import read_plugin_settings
from rayfleet.testing.vllm_cpu import environment_folder


def main() -> int:
    """Carry it out; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument(
        "--python", type=Path, help="a Python that has torch (default: vLLM's environment, else this one)"
    )
    parser.add_argument("--device", choices=("cuda", "host"), default="cuda", help="host: all but the GPU")
    options = parser.parse_args()
    python = options.python or _usual_python(options.device)
    try:
        name = device_name(python) if options.device == "cuda" else "no GPU"
    except Missing as missing:
        sys.stderr.write(f"{missing}\n")
        return EXIT_CODE
    _say(f"device: {name}, by {python}")
    with tempfile.TemporaryDirectory(prefix="rf-gpu-") as folder:
        run = Run(
            python=python,
            device=options.device,
            engine_port=any_port(HOST),
            sidecar_port=any_port(HOST),
            folder=Path(folder),
        )
        try:
            carry_out(run, _say)
        except AssertionError as error:
            sys.stderr.write("\n".join((f"failed: {error}", *getattr(error, "__notes__", ()), "")))
            return 1
    return 0


def _usual_python(device: str) -> Path:
    """Return the Python that has torch on a machine where `make engines` ran, else the one that runs this."""
    python = environment_folder(read_plugin_settings().cache) / "bin" / "python"
    return python if device == "cuda" and python.exists() else Path(sys.executable)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
