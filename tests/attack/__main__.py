"""``python -m tests.attack [NAME ...] [--small]``: strangers, sick engines and restarts against a gateway of its own.

Prints figures for people; ends with 1 when a count or a budget was not kept. Times are shown, never judged.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.attack.plans import RUNS
from tests.attack.scene import FULL, SMALL


async def _main(names: list[str], *, is_small: bool) -> int:
    failed = 0
    for name in names or RUNS:
        with tempfile.TemporaryDirectory(prefix="rayfleet-attack-") as folder:
            started = time.monotonic()
            verdict = await RUNS[name](SMALL if is_small else FULL, Path(folder))
        took = time.monotonic() - started
        figures = ", ".join(f"{key} {value}" for key, value in verdict.figures.items())
        sys.stdout.write(f"{'FAIL' if verdict.faults else 'ok  '} {name}: {took:.0f} s, {figures}\n")
        sys.stdout.writelines(f"     {fault}\n" for fault in verdict.faults)
        sys.stdout.flush()
        failed += bool(verdict.faults)
    return 1 if failed else 0


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *RUNS], help="attacks; all when none is named")
    parser.add_argument("--small", action="store_true", help="the size of the fast tests")
    chosen = parser.parse_args()
    return asyncio.run(_main(chosen.names, is_small=chosen.small))


if __name__ == "__main__":
    sys.exit(main())
