"""``python -m rayfleet.local.supervisor SETTINGS_FILE``: started by ``rayfleet up``, not by people."""

import asyncio
import sys
from pathlib import Path

from rayfleet.local.supervisor.run import supervise
from rayfleet.local.supervisor.settings import read_settings
from rayfleet.logs import configure_logging
from rayfleet.model.errors import RayfleetError, leaves


def main() -> int:
    """Run one cluster until it is told to stop; 0 after a clean end, 1 with a message on stderr."""
    configure_logging()
    code = 0
    try:
        asyncio.run(supervise(read_settings(Path(sys.argv[1]))))
    except* RayfleetError as group:
        code = 1
        for error in leaves(group):
            sys.stderr.write(f"error: {error}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
