"""Bugs as changes of our text, with the tests that must fail for each: twenty that others had, then more of our own.

Each is a class of bug of a known system (AIBrix, KubeRay, lightkube, kubernetes-asyncio, kopf, Sieve's operators, an
engine's sidecar). ``old`` stands in its file exactly once; ``tests/unit/test_mutants.py`` holds that.
"""

from dataclasses import dataclass

_EXECUTOR = "tests/parts/reconciling/test_executor.py::"
_RUNTIME = "tests/parts/reconciling/test_runtime.py::"
_REFLECTOR = "tests/parts/kube/test_reflector.py::"
_PLANE = "tests/parts/gateway/test_data_plane.py::TestGateway::"
_BOUNDS = "tests/parts/gateway/test_bounds.py::"
_FAULTS = "tests/parts/gateway/test_faults.py::"
_WARM_UP = "tests/unit/planning/test_warm_up.py::"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """``bug`` in words; ``tests`` are pytest's ids, of which one has to fail."""

    number: int
    bug: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTANTS = (
    Mutant(
        number=1,
        bug="a server-given name instead of a derived one: a lost reply makes a second child",
        file="platform/rayfleet/planning/replica_set/places.py",
        old='            "name": new.name,\n',
        new='            "generateName": f"{new.name}-",\n',
        tests=("tests/unit/planning/test_replica_set.py", "tests/golden/test_rollout_transcripts.py"),
    ),
    Mutant(
        number=2,
        bug="a write that failed is waited for all the same",
        file="platform/rayfleet/reconciling/executor.py",
        old="        if await _is_still_there(client, action.resource, ref):\n            raise ",
        new="        if await _is_still_there(client, action.resource, ref):\n            pass ",
        tests=(f"{_EXECUTOR}test_a_conflict_of_a_delete_that_leaves_the_object_is_tried_again",),
    ),
    Mutant(
        number=3,
        bug="an error is swallowed and nobody looks again",
        file="platform/rayfleet/reconciling/runtime.py",
        old="            delay = self.queue.add_failed(key)\n",
        new="            delay = None\n",
        tests=(f"{_RUNTIME}test_failed_passes_come_back_whatever_they_raise",),
    ),
    Mutant(
        number=4,
        bug="what has the right name is taken for ours, whoever controls it",
        file="platform/rayfleet/reconciling/executor.py",
        old="        if controller_uid(stored) != controller_uid(manifest) or is_terminating(stored):\n",
        new="        if is_terminating(stored):\n",
        tests=(f"{_EXECUTOR}test_a_create_of_anothers_name_is_a_conflict",),
    ),
    Mutant(
        number=5,
        bug="a deletion without the UID that was seen",
        file="platform/rayfleet/kube/client.py",
        old='        preconditions = {"uid": uid, "resourceVersion": resource_version}\n',
        new='        preconditions = {"resourceVersion": resource_version}\n',
        tests=(f"{_EXECUTOR}test_a_delete_of_any_version_names_the_uid_alone",),
    ),
    Mutant(
        number=6,
        bug="a pass before all stores are filled",
        file="platform/rayfleet/reconciling/runtime.py",
        old="            await watch.reflector.settled()\n",
        new="            pass\n",
        tests=(f"{_RUNTIME}test_there_is_no_pass_before_all_stores_are_there",),
    ),
    Mutant(
        number=7,
        bug="a second list does not take away what is gone: ghosts",
        file="platform/rayfleet/kube/reflector.py",
        old="            if key not in kept:\n",
        new="            if False:\n",
        tests=(f"{_REFLECTOR}test_an_error_event_410_lists_again_and_tells_the_differences",),
    ),
    Mutant(
        number=8,
        bug="a watch that is too old is asked for again with the same version",
        file="platform/rayfleet/kube/reflector.py",
        old='            self._version = ""  # too old',
        new="            pass  # too old",
        tests=(f"{_REFLECTOR}test_a_410_answer_lists_again",),
    ),
    Mutant(
        number=9,
        bug="a change that comes during a pass is lost: 3 -> 2 -> 3",
        file="platform/rayfleet/reconciling/queue.py",
        old="        if key in self._dirty:\n            return\n",
        new="        if key in self._dirty or key in self._processing:\n            return\n",
        tests=("tests/parts/reconciling/test_queue.py::test_a_key_added_at_work_comes_back_after_it",),
    ),
    Mutant(
        number=10,
        bug="Recreate makes the new before the old is gone: accelerators are held twice",
        file="platform/rayfleet/planning/fleet/next_sizes.py",
        old="    return {} if any(member.active or member.terminating for member in view.old) else None\n",
        new="    return None\n",
        tests=("tests/golden/test_rollout_transcripts.py",),
    ),
    Mutant(
        number=11,
        bug="old revisions are kept for ever",
        file="platform/rayfleet/planning/fleet/revisions.py",
        old="    surplus = max(0, len(candidates) - kept)\n",
        new="    surplus = max(0, len(candidates) - kept - 1000)\n",
        tests=("tests/unit/planning/test_fleet.py", "tests/golden/test_rollout_transcripts.py"),
    ),
    Mutant(
        number=12,
        bug="a selector that does not select its own template is taken: endless creation",
        file="platform/rayfleet/manifest/fleet.py",
        old='    return list(selector_errors(selector, template, "spec.selector", {HASH_LABEL, INDEX_LABEL}))\n',
        new="    return [] if template else []\n",
        tests=("tests/unit/manifest",),
    ),
    Mutant(
        number=13,
        bug="an object is replaced whole: fields of others are dropped",
        file="platform/rayfleet/reconciling/executor.py",
        old="        stored = await client.patch(action.resource, ref.key, guarded)\n",
        new="        stored = await client.replace(action.resource, {**guarded, **guarded})\n",
        tests=(f"{_EXECUTOR}test_an_update_names_what_it_was_decided_on",),
    ),
    Mutant(
        number=14,
        bug="time is the machine's and not the one that was given",
        file="platform/rayfleet/reconciling/passes.py",
        old="        now = self._clock()\n",
        new="        now = datetime.now().astimezone()\n",
        tests=("tests/parts/reconciling/test_passes.py::test_a_plan_is_given_the_time_of_the_clock",),
    ),
    Mutant(
        number=15,
        bug="ready by what is configured, not by what the engine answers",
        file="runtime_sidecar/rayfleet_sidecar/readiness.py",
        old="    if observation.answer is not Answer.OK:\n        return _engine_cause(before, observation)\n",
        new="",
        tests=("tests/unit/sidecar/test_readiness.py",),
    ),
    Mutant(
        number=16,
        bug="an answer whose engine died ends as if it were whole",
        file="gateway/rayfleet_gateway/planes/python/exchange.py",
        old='                self._broken("it ended before its answer did")\n',
        new="                self._end(result_of(answer.head.status))\n",
        tests=(f"{_PLANE}test_a_stream_that_breaks_ends_with_an_error_event",),
    ),
    Mutant(
        number=17,
        bug="a request is sent again although an engine was at work on it",
        file="gateway/rayfleet_gateway/planes/python/exchange.py",
        old=" and now - self._account.asked_at < self._shared.stale_seconds:\n",
        new=":\n",
        tests=(f"{_FAULTS}test_a_request_that_was_at_work_for_long_is_never_sent_again",),
    ),
    Mutant(
        number=18,
        bug="a client goes away and its generation goes on",
        file="gateway/rayfleet_gateway/planes/python/exchange.py",
        old="            self._upstream.leave()\n            self._upstream = None\n\n    def _release",
        new="            self._upstream = None\n\n    def _release",
        tests=(f"{_PLANE}test_a_client_that_leaves_takes_its_engine_with_it",),
    ),
    Mutant(
        number=19,
        bug="a label of a metric is whatever a client wrote",
        file="gateway/rayfleet_gateway/planes/python/routing.py",
        old="    if model in table.by_model:\n",
        new="    if model:\n",
        tests=(f"{_BOUNDS}test_a_model_that_no_route_names_stays_out_of_the_labels",),
    ),
    Mutant(
        number=20,
        bug="an answer that was to end with its connection passes as whole after a reset",
        file="gateway/rayfleet_gateway/planes/python/upstream.py",
        old="        elif self._length == _UNTIL_CLOSE and self._has_eof and exc is None:\n",
        new="        elif self._length == _UNTIL_CLOSE:\n",
        tests=(f"{_PLANE}test_a_plain_answer_that_is_reset_is_cut",),
    ),
    Mutant(
        number=21,
        bug="what serves is cut for an image that its node cannot have",
        file="platform/rayfleet/planning/fleet/warm_up.py",
        old="(refusal is None and left <= timedelta(0))",
        new="left <= timedelta(0)",
        tests=(f"{_WARM_UP}test_an_image_that_cannot_be_had_holds_longer_than_any_timeout",),
    ),
    Mutant(
        number=22,
        bug="a pod that warmed a node up is left there",
        file="platform/rayfleet/planning/fleet/warm_up.py",
        old="        if name_of(pod) not in needed and not is_terminating(pod):\n",
        new="        if not needed and is_terminating(pod):\n",
        tests=(f"{_WARM_UP}test_pods_go_after_the_cut_and_not_with_it",),
    ),
    Mutant(
        number=23,
        bug="what was decoded of an object stays, though another has its name now",
        file="platform/rayfleet/manifest/fleet.py",
        old="    return replace(fleet, meta=decode_meta(after), status=",
        new="    return replace(fleet, status=",
        tests=("tests/unit/manifest/test_renewing.py",),
    ),
)
