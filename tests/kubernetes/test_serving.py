"""rayfleet on a real Kubernetes: as real containers, under Pod Security's ``restricted``, with the real KubeRay."""

from collections.abc import Callable, Mapping

import pytest
from tests.kubernetes.clients import ask_once, asking
from tests.kubernetes.deeds import DEEDS, kill_a_heads_container, wait_settled

from rayfleet.testing.kubectl import Kubectl
from rayfleet.testing.realkube.files import Progress

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(5400)]

Deed = Callable[[Kubectl, str], None]
KILLED_WITH_ITS_ENGINE: Mapping[Deed, int] = {kill_a_heads_container: 1}
"""The client has one stream at a time: the engine that is killed may hold it, and nobody has the rest of its words."""


@pytest.fixture(autouse=True)
def settled(installed: Kubectl, fleet: str) -> None:
    """Each test begins with as many available replicas as the fleet asks for, all of the newest revision."""
    wait_settled(installed, fleet)


def test_the_quickstart_answers_through_the_gateways_service(installed: Kubectl, fleet: str) -> None:
    assert "Paris" in ask_once(installed, fleet)


@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.__name__)
def test_no_request_fails_and_no_stream_breaks(installed: Kubectl, fleet: str, deed: Deed, tell: Progress) -> None:
    with asking(installed, fleet) as asked:
        deed(installed, fleet)
        wait_settled(installed, fleet)
    broken = asked.failures + asked.cut
    tell(f"{deed.__name__}: {asked.answers} answers, {asked.streams} streams; {broken or 'none failed'}")
    assert asked.failures == []
    assert len(asked.cut) <= KILLED_WITH_ITS_ENGINE.get(deed, 0)
    assert asked.answers > 0
    assert asked.streams > 0
