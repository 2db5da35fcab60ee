"""``python -m rayfleet.local.supervisor SETTINGS_FILE``: started by ``rayfleet up``, not by people."""

import asyncio
import sys
from pathlib import Path

from rayfleet.local.supervisor.run import supervise
from rayfleet.local.supervisor.settings import read_settings
from rayfleet.logs import configure_logging
from rayfleet.process import exit_code


def main() -> int:
    """Run one cluster until it is told to stop; 0 after a clean end, 1 with a message on stderr."""
    configure_logging()
    return exit_code(lambda: asyncio.run(supervise(read_settings(Path(sys.argv[1])))))


if __name__ == "__main__":
    sys.exit(main())
