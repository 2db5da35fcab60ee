"""``python -m rayfleet_gateway``."""

import sys

from rayfleet_gateway.main import main

sys.exit(main())
