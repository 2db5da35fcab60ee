"""The package ``common-expression-language`` (0.10) without its command line.

``import cel`` imports that too, and with it typer, rich and prompt_toolkit: half of the time until the server listens.
An empty module stands in for it meanwhile; whoever imports ``cel.cli`` afterwards gets the real one.
"""

import sys
from types import ModuleType

_COMMAND_LINE = "cel.cli"
_STANDS_IN = ModuleType(_COMMAND_LINE)

sys.modules.setdefault(_COMMAND_LINE, _STANDS_IN)
try:
    import cel
    from cel.stdlib import STDLIB_FUNCTIONS
finally:
    if sys.modules[_COMMAND_LINE] is _STANDS_IN:
        del sys.modules[_COMMAND_LINE]
        vars(sys.modules.get("cel", _STANDS_IN)).pop("cli", None)

__all__ = ["STDLIB_FUNCTIONS", "cel"]
