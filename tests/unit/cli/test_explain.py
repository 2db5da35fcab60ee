"""``explain`` puts what the gateway says into words."""

import json
from typing import Any

from rayfleet.cli.explain import explanation_lines, read_explanation

TAKEN = {"route": "ns/m", "match": "/v1 or below it model=m", "verdict": "taken"}
EXPLANATION: dict[str, Any] = {
    "request": {
        "method": "POST",
        "host": "gw",
        "path": "/v1/completions",
        "query": "v=1",
        "model": "m",
        "headers": {},
    },
    "candidates": [TAKEN, {"route": "ns/x", "match": "/v2 or below it", "verdict": "the path is not /v2 or below it"}],
    "rule": {
        "route": "ns/m",
        "match": "/v1 or below it model=m",
        "timeouts": {"request": 120.0},
        "profile": "sticky",
        "filters": ["roomy"],
        "scorers": {"sticky": 2.0},
        "picker": "highest-score",
        "switched_off": ["filter roomy"],
    },
    "backends": [
        {
            "service": "ns/s",
            "weight": 90,
            "is_valid": True,
            "part": 0.9,
            "endpoints": [
                {
                    "endpoint": "10.0.0.1:8000",
                    "state": "ready",
                    "in_flight": 3,
                    "share": 1.0,
                    "failures_in_a_row": 0,
                    "failure_rate": 0.0,
                    "is_kept": True,
                    "score": 1.5,
                    "part": 1.0,
                },
                {
                    "endpoint": "10.0.0.2:8000",
                    "state": "ejected",
                    "tried_in_seconds": 4.2,
                    "in_flight": 0,
                    "share": 0.125,
                    "failures_in_a_row": 3,
                    "failure_rate": 0.18,
                    "is_kept": False,
                    "score": None,
                    "part": 0.0,
                },
            ],
        },
        {"service": "ns/t", "weight": 10, "is_valid": False, "part": 0.1, "endpoints": []},
    ],
}
TEXT = """\
POST gw/v1/completions?v=1 for the model m
takes ns/m: /v1 or below it model=m (timeouts: request 120 s)
picked by the profile sticky (filter roomy, scorer sticky x 2, picker highest-score)
  switched off now: filter roomy

ns/s: weight 90, gets 90%
  ENDPOINT        STATE                     IN FLIGHT   SHARE   FAILED   SCORE   PICKED
  10.0.0.1:8000   ready                     3           1       0%       1.5     100%
  10.0.0.2:8000   ejected, tried in 4.2 s   0           0.12    18%      -       0%

ns/t: weight 10, gets 10%, refers to nothing that can be asked
  no endpoint is ready

not taken:
  ns/x   /v2 or below it   the path is not /v2 or below it
"""


def test_an_explanation_is_put_into_words() -> None:
    assert "\n".join(explanation_lines(read_explanation(json.dumps(EXPLANATION)))) + "\n" == TEXT


def test_a_refusal_is_put_into_words() -> None:
    refused = {"request": EXPLANATION["request"], "candidates": [], "refused": "404: no route names this model"}
    assert list(explanation_lines(read_explanation(json.dumps(refused))))[1:] == [
        "is refused: 404: no route names this model"
    ]


def test_what_no_engine_answers_is_said() -> None:
    answered = {"request": EXPLANATION["request"], "candidates": [], "answered": "with a redirect (302)"}
    assert list(explanation_lines(read_explanation(json.dumps(answered))))[1:] == ["is answered with a redirect (302)"]
