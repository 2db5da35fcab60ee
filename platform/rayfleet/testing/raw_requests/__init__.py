"""Raw requests that a gateway must read in one way or refuse, and a client that plays them against any gateway.

A black box: what counts is what an engine behind saw and what the client was told. ``CASES`` need a gateway whose model
``m`` is served on ``/v1/completions`` and ``/v1/chat/completions`` by a ``Recorder``.

Source: RFC 9112; the requests that public reports on smuggling name (CL.TE, TE.CL, TE.TE, CL.CL, folded lines, bare
line ends, sizes that overflow), in our own words.
"""

from rayfleet.testing.raw_requests.cases import RawCase, Seen
from rayfleet.testing.raw_requests.framing import framing_cases
from rayfleet.testing.raw_requests.headers import header_cases
from rayfleet.testing.raw_requests.lines import line_cases
from rayfleet.testing.raw_requests.playing import PROBE, Played, Recorded, Recorder, answers_in, faults, play

CASES: tuple[RawCase, ...] = (*line_cases(), *header_cases(), *framing_cases())

__all__ = ["CASES", "PROBE", "Played", "RawCase", "Recorded", "Recorder", "Seen", "answers_in", "faults", "play"]
