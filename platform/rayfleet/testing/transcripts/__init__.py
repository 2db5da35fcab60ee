"""Rollouts as text: what users and Ray clusters do, and under it every write of every controller.

``files`` has the form of a file, ``commands`` the language, ``stage`` the rounds, ``lines`` the words for writes.
"""

from rayfleet.testing.transcripts.files import TranscriptError, replayed

__all__ = ["TranscriptError", "replayed"]
