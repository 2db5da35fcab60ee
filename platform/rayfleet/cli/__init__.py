"""The commands ``rayfleet`` and ``kubectl-rayfleet``."""
