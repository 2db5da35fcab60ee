"""What an engine plugin promises, as tests.

Its answers are read, and its scripts are run with small programs for Ray, for the engine and for whatever else is in
its image. No engine, no Ray and no network is needed. A plugin's test is one subclass of :class:`EngineSuite`.
"""

from rayfleet.testing.suites.engine.answers import AnswerChecks
from rayfleet.testing.suites.engine.arguments import ArgumentChecks
from rayfleet.testing.suites.engine.scripts import ScriptChecks


class EngineSuite(AnswerChecks, ArgumentChecks, ScriptChecks):
    """Subclass it with the plugin and with what the image of its engine holds; see TestedEngine."""
