"""What a machine must give for a run on a GPU, each need with its way out; nothing is left out without a word."""

import subprocess
from pathlib import Path

EXIT_CODE = 69  # EX_UNAVAILABLE of sysexits.h
ASK_SECONDS = 120  # the import of torch, from a cold disk
_ASK = "import torch; print(torch.cuda.get_device_name(0) if torch.cuda.is_available() else '')"


class Missing(Exception):
    """This machine cannot run it; ``way_out`` says what to do."""

    def __init__(self, what: str, *, way_out: str) -> None:
        super().__init__(f"nothing was run on a GPU: {what}\n  {way_out}")


def device_name(python: Path) -> str:
    """Return the name of the first CUDA device as torch in that Python sees it. Raises Missing."""
    try:
        done = subprocess.run(
            [str(python), "-W", "ignore", "-c", _ASK], capture_output=True, text=True, timeout=ASK_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{python} cannot be asked for torch ({error})", way_out=_OTHER) from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        raise Missing(f"{python} has no torch that can be used ({last})", way_out=_OTHER)
    name = done.stdout.strip()
    if not name:
        raise Missing(
            f"torch in {python} sees no CUDA device",
            way_out="Run it on a machine with an NVIDIA GPU and its driver; ARGS='--device host' tries the rest.",
        )
    return name


_OTHER = "`make engines` makes an environment with torch; or name a Python that has it: make gpu ARGS='--python PATH'."
