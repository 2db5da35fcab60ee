"""Profiles by name: which filters, scorers and picker a route's requests take. Pure; the clock comes in.

A route names one by its annotation, a fleet by the same one; the gateway has one for all others. Each contribution is a
profile of its own name too, so that one scorer needs no file: filter and scorer with the picker that suits them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from rayfleet.manifest.checking import did_you_mean, schema_errors
from rayfleet.model.errors import FieldError
from rayfleet.model.json import ReadOnlyJson
from rayfleet.plugin.contracts import Bounded, Filter, Picker, Scorer, unbounded
from rayfleet_gateway.model.values import Endpoint, InferenceRequest, RequestHead
from rayfleet_gateway.pick.endpoint_state import EndpointState
from rayfleet_gateway.pick.guard import MOST_FAULTS, Guard
from rayfleet_gateway.pick.pickers import own_pickers, own_scorers
from rayfleet_gateway.pick.pipeline import Guarded, Pipeline
from rayfleet_gateway.route.table import Rule

T = TypeVar("T", Filter, Scorer, Picker)

DEFAULT = "least-request"
_PICKER_OF_SCORES = "highest-score"
_MADE_UP = InferenceRequest(
    head=RequestHead(
        method="POST",
        target=b"/v1/completions",
        path="/v1/completions",
        query="",
        host="rehearsal.invalid",
        headers=(),
        joined={"content-type": "application/json"},
        length=41,
        is_keep_alive=True,
    ),
    body=b'{"model": "rehearsal", "prompt": "Hello"}',
    model="rehearsal",
    label="unknown",
    request_id="rehearsal",
)
_NAMES: ReadOnlyJson = {"type": "array", "items": {"type": "string"}}
SCHEMA: ReadOnlyJson = {
    "type": "object",
    "required": ["profiles"],
    "properties": {
        "profiles": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {
                    "filters": _NAMES,
                    "scorers": {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}},
                    "picker": {"type": "string"},
                },
            },
        }
    },
}
"""Of the file that ``--profiles`` names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Names of contributions; scorers with their weights. ``picker`` empty: the one that suits."""

    name: str
    filters: tuple[str, ...] = ()
    scorers: Mapping[str, float] = field(default_factory=dict)
    picker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributed:
    """What plugins contribute, by name."""

    filters: Mapping[str, Filter] = field(default_factory=dict)
    scorers: Mapping[str, Scorer] = field(default_factory=dict)
    pickers: Mapping[str, Picker] = field(default_factory=dict)


class Profiles:
    """``of`` gives a rule's pipeline. ``problems`` say what of the plugins and the profiles cannot be used.

    ``clock`` gives seconds and never goes back; ``report`` hears the name of a contribution and why it is switched off;
    ``bounded`` ends a call that has no end.
    """

    def __init__(
        self,
        contributed: Contributed,
        profiles: Sequence[Profile] = (),
        *,
        default: str = DEFAULT,
        clock: Callable[[], float],
        report: Callable[[str, str], None],
        bounded: Bounded = unbounded,
    ) -> None:
        self.problems: list[FieldError] = []
        self.guards: dict[str, Guard] = {}
        self._make_guard = partial(Guard, clock=clock, report=report, bounded=bounded)
        self._filters = self._guarded("filter", contributed.filters, ())
        self._scorers = self._guarded("scorer", contributed.scorers, own_scorers())
        self._pickers = self._guarded("picker", contributed.pickers, own_pickers())
        self._pipelines = {profile.name: self._pipeline(profile) for profile in self._implied()}
        for profile in profiles:
            problems = tuple(self._problems_of(profile))
            self.problems.extend(problems)
            if not problems:
                self._pipelines[profile.name] = self._pipeline(profile)
        if default not in self._pipelines:
            self.problems.append(self._no_such("default", "profile", default, self.names))
        self._default = self._pipelines.get(default) or self._pipelines[DEFAULT]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all profiles, sorted."""
        return tuple(sorted(self._pipelines))

    def of(self, rule: Rule) -> Pipeline:
        """Return the pipeline of a rule's requests: the default one where it names none, or one that is not there."""
        return self._pipelines.get(rule.profile) or self._default

    def fault_of(self, name: str) -> str:
        """Return what is wrong with a profile's name, for who wrote it into a route; empty when nothing is."""
        return "" if name in self._pipelines else self._no_such("", "profile", name, self.names).message

    def rehearse(self) -> None:
        """Call each contribution of a plugin with a made-up request, before anybody waits for it.

        The first call may be slow, for it may have to make ready; a fault in those after it counts as any other.
        """
        rehearsals = [each for each in map(self._pipeline, self._implied()) if not each.is_plain]
        endpoints = [EndpointState(endpoint=Endpoint(address="192.0.2.1", port=port)) for port in (1, 2, 3)]
        for turn in range(1 + MOST_FAULTS):
            for pipeline in rehearsals:
                pipeline.pick(_MADE_UP, endpoints, turn / (1 + MOST_FAULTS))
            if not turn:
                for guard in self.guards.values():
                    guard.forget()

    def _guarded(self, noun: str, contributed: Mapping[str, T], own: Sequence[T]) -> dict[str, Guarded[T]]:
        known = {item.name: Guarded(item) for item in own}
        for name, item in contributed.items():
            if name in known:
                message = f"the {noun} {name!r} is the gateway's own, and a plugin's of that name is left out"
                self.problems.append(FieldError(path=f"{noun}s", message=message))
                continue
            guard = self.guards[f"{noun} {name}"] = self._make_guard(f"{noun} {name}")
            known[name] = Guarded(item, guard)
        return known

    def _implied(self) -> Iterator[Profile]:
        """Yield a profile for each contribution; of one name the picker's counts, then the scorer's."""
        yield from (Profile(name=name, filters=(name,)) for name in self._filters)
        yield from (Profile(name=name, scorers={name: 1.0}) for name in self._scorers)
        yield from (Profile(name=name, picker=name) for name in self._pickers)

    def _pipeline(self, profile: Profile) -> Pipeline:
        suited = _PICKER_OF_SCORES if profile.scorers else DEFAULT
        scorers = [(self._scorers[name], weight) for name, weight in profile.scorers.items() if weight > 0]
        return Pipeline(
            name=profile.name,
            filters=tuple(self._filters[name] for name in profile.filters),
            scorers=tuple(Guarded(each.item, each.guard, weight) for each, weight in scorers),
            picker=self._pickers[profile.picker or suited],
        )

    def _problems_of(self, profile: Profile) -> Iterator[FieldError]:
        path = f"profiles.{profile.name}"
        named = (
            ("filters", "filter", profile.filters, self._filters),
            ("scorers", "scorer", tuple(profile.scorers), self._scorers),
            ("picker", "picker", (profile.picker or DEFAULT,), self._pickers),
        )
        for field_name, noun, names, known in named:
            for name in names:
                if name not in known:
                    yield self._no_such(f"{path}.{field_name}", noun, name, tuple(sorted(known)))

    def _no_such(self, path: str, noun: str, name: str, known: Sequence[str]) -> FieldError:
        hint = f"{did_you_mean(name, known)}; there are: {', '.join(known) or 'none'}"
        return FieldError(path=path, message=f"{name!r} is no {noun} here{hint}")


def decoded_profiles(raw: Any) -> tuple[tuple[Profile, ...], tuple[FieldError, ...]]:
    """Return the profiles of a file as read from YAML, and what is wrong with it; one of both is empty."""
    problems = schema_errors(raw, SCHEMA, "")
    if problems:
        return (), problems
    return tuple(
        Profile(
            name=name,
            filters=tuple(spec.get("filters") or ()),
            scorers=dict(spec.get("scorers") or {}),
            picker=spec.get("picker") or "",
        )
        for name, spec in raw["profiles"].items()
    ), ()
