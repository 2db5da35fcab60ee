"""Every raw request of the corpus: read in one way, or refused."""

import pytest

from rayfleet.testing.raw_requests import CASES, Recorder, faults, play
from rayfleet.testing.suites.data_plane.tested import Stage, TestedPlane

_AT_ONCE = 24


class RawChecks(TestedPlane):
    """No request is smuggled, and every error has OpenAI's shape."""

    @pytest.mark.parametrize("start", range(0, len(CASES), _AT_ONCE))
    async def test_a_raw_request_is_read_in_one_way(self, stage: Stage, start: int) -> None:
        """So many of the corpus at a time; what is wrong is told by the case."""
        async with Recorder(stage.sockets.named["recorded"].dup()) as engine:
            cases = CASES[start : start + _AT_ONCE]
            wrong = {case.name: faults(case, await play(case, stage.plane.port, engine)) for case in cases}
        assert {name: each for name, each in wrong.items() if each} == {}
