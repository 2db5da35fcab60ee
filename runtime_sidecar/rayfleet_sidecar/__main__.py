"""``python -m rayfleet_sidecar``."""

import sys

from rayfleet_sidecar.main import main

sys.exit(main())
