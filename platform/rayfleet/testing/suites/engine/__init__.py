"""What an engine plugin promises, as tests.

Its answers are read, and its scripts are run with small programs for Ray, for the engine and for whatever else is in
its image. No engine, no Ray and no network is needed. A plugin's test is one subclass of :class:`EngineSuite`.
"""

from rayfleet.testing.suites.engine.answers import AnswerChecks
from rayfleet.testing.suites.engine.arguments import ArgumentChecks
from rayfleet.testing.suites.engine.bad_values import BadValueChecks
from rayfleet.testing.suites.engine.contract import ContractChecks
from rayfleet.testing.suites.engine.metrics import MetricChecks
from rayfleet.testing.suites.engine.promises import switch
from rayfleet.testing.suites.engine.purity import PurityChecks
from rayfleet.testing.suites.engine.ranks import RankChecks
from rayfleet.testing.suites.engine.reading import ReaderChecks
from rayfleet.testing.suites.engine.scripts import ScriptChecks
from rayfleet.testing.suites.engine.serving import ServingChecks


class EngineSuite(
    ContractChecks,
    AnswerChecks,
    BadValueChecks,
    PurityChecks,
    ArgumentChecks,
    MetricChecks,
    ReaderChecks,
    ScriptChecks,
    RankChecks,
    ServingChecks,
):
    """Subclass it with the plugin and with what the image of its engine holds; see TestedEngine."""

    def __init_subclass__(cls) -> None:
        """Leave out the checks of what the subclass does not declare."""
        super().__init_subclass__()
        switch(cls)
