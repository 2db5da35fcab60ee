"""rayfleet: fleets of Ray clusters, each one replica of an inference engine."""

__version__ = "0.1.0"
