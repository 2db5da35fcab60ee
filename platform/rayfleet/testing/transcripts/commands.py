"""The commands of a transcript. Pure.

============================ ==========================================================================================
``create [FIELD=VALUE ...]`` the user makes the fleet; see ``manifest`` for the fields
``set FIELD=VALUE ...``      the user applies the manifest with other fields; ``FIELD=`` takes one away
``image NAME``               short for ``set image=NAME``; so ``replicas N``, ``model NAME``
``pause``, ``resume``        short for ``set paused=true`` and ``set paused=``
``resume recovery WORD``     the user gives Failed Ray clusters another budget
``undo N``                   the user asks for revision N by annotation (0: the one before)
``delete fleet``             the user asks for the fleet's deletion
``break image NAME``         Ray clusters of this image get ready no more (``mend image NAME``: they do again)
``kill head of N``           the Nth oldest Ray cluster loses its head; KubeRay replaces it at the end of the round
``kill worker of N``         likewise one worker
``pods of N are HOW``        its pods have a status of ``testing.kubelet.SITUATIONS``; ``head of N is HOW``, ``worker``
``warm-up pods are HOW``     likewise the pods that warm nodes up for the fleet
``evict worker of N``        its workers are asked to go; ``restore worker of N``: they went, and others run
``requests of N are K``      its sidecar counts K requests in flight
``lose head of N``           it loses its head until ``restore head of N``
``hold terminating``         the pods of terminating Ray clusters stay until ``release terminating``
``quota KIND N``             of a kind there may be N objects; ``quota KIND none`` ends that
``other NAME FIELD=VALUE``   another fleet is there, with its Service, and says what is given: ``model``, ``weight``,
                             ``available``; nobody plays it, and ``remove RayClusterFleet NAME`` ends it
``foreign KIND NAME``        somebody else makes an object; ``remove KIND NAME`` takes one away
``wait Ns``                  so many seconds pass
``rounds N``                 after this block at most N rounds are played, not 12
============================ ==========================================================================================
"""

from collections.abc import Callable, Sequence
from datetime import timedelta

from rayfleet.model.resources import FLEETS, HTTP_ROUTES, PODS, RAY_CLUSTERS, REPLICA_SETS, SERVICES, ResourceType
from rayfleet.objects.labels import RESUME_ANNOTATION, ROLLBACK_ANNOTATION
from rayfleet.testing.kubelet import SITUATIONS
from rayfleet.testing.stored_objects import Refused, Stale
from rayfleet.testing.transcripts.manifest import FieldError
from rayfleet.testing.transcripts.stage import Stage

_KINDS = {resource.kind: resource for resource in (FLEETS, REPLICA_SETS, RAY_CLUSTERS, PODS, SERVICES, HTTP_ROUTES)}


class CommandError(Exception):
    """A command that does not exist, or that cannot be obeyed now."""


def obey(words: Sequence[str], stage: Stage) -> list[str]:
    """Do what a command says; return what is to be told of it. Raises CommandError."""
    for obeyed in (_user, _kuberay, _server, _others):
        try:
            happened = obeyed(list(words), stage)
        except (FieldError, Refused, Stale) as error:
            raise CommandError(str(error)) from error
        if happened is not None:
            return happened
    raise CommandError(f"no such command: {' '.join(words)!r}")


def _user(words: list[str], stage: Stage) -> list[str] | None:
    """Obey what a user applies; None: it is something else."""
    match words:
        case ["create" | "set", *fields]:
            pass
        case ["image" | "replicas" | "model" as name, value]:
            fields = [f"{name}={value}"]
        case ["pause" | "resume" as verb]:
            fields = ["paused=true" if verb == "pause" else "paused="]
        case _:
            return None
    if stage.is_created is (words[0] == "create"):
        raise CommandError("the fleet is there already" if stage.is_created else "there is no fleet yet")
    stage.apply(fields)
    return []


def _kuberay(words: list[str], stage: Stage) -> list[str] | None:
    """Obey what becomes of Ray clusters; None: it is something else."""
    match words:
        case ["break", "image", name]:
            stage.broken_images.add(name)
        case ["mend", "image", name]:
            stage.broken_images.discard(name)
        case ["hold" | "release" as verb, "terminating"]:
            stage.holds_terminating = verb == "hold"
        case ["pods" | "head" | "worker" as pods, "of", number, "is" | "are", situation] if situation in SITUATIONS:
            stage.show_pods(_ray_cluster(stage, number), pods, situation)
        case ["warm-up", "pods", "are", situation] if situation in SITUATIONS:
            stage.world.show_warm_up_pods(situation)
        case ["requests", "of", number, "are", requests]:
            stage.count_requests(_ray_cluster(stage, number), _number(requests))
        case ["kill" | "lose" | "restore" | "evict" as verb, "head" | "worker" as pod, "of", number]:
            return _changed(stage, f"{verb} {pod}", _ray_cluster(stage, number))
        case _:
            return None
    return []


def _server(words: list[str], stage: Stage) -> list[str] | None:
    """Obey what concerns time, rounds and quotas; None: it is something else."""
    match words:
        case ["wait", duration]:
            stage.world.now += timedelta(seconds=_number(duration.removesuffix("s")))
        case ["rounds", number]:
            stage.rounds = _number(number)
        case ["quota", kind, "none"]:
            stage.world.stored.quotas.pop(_resource(kind).kind, None)
        case ["quota", kind, number]:
            stage.world.stored.quotas[_resource(kind).kind] = _number(number)
        case _:
            return None
    return []


def _others(words: list[str], stage: Stage) -> list[str] | None:
    """Obey what happens to whole objects from outside; None: it is something else."""
    match words:
        case ["delete", "fleet"] if stage.is_created:
            stage.delete_fleet()
        case ["resume", "recovery", word] if stage.is_created:
            stage.annotate(RESUME_ANNOTATION, word)
        case ["undo", number] if stage.is_created:
            stage.annotate(ROLLBACK_ANNOTATION, str(_number(number)))
        case ["other", name, *fields] if stage.is_created:
            stage.other_fleet(name, dict(word.split("=", 1) for word in fields if "=" in word))
        case ["foreign", kind, name]:
            stage.foreign_object(_resource(kind), name)
        case ["remove", kind, name]:
            raw = stage.world.stored.of_kind(_resource(kind).kind).get(name)
            if raw is None:
                raise CommandError(f"there is no {kind} {name}")
            stage.world.stored.remove(raw)
        case _:
            return None
    return []


def _changed(stage: Stage, what: str, name: str) -> list[str]:
    """Do to a Ray cluster what is said."""
    acts: dict[str, tuple[str, Callable[[str], None]]] = {
        "kill head": ("loses its head", stage.world.make_unready),
        "kill worker": ("loses a worker", stage.world.lose_worker),
        "lose head": ("loses its head", stage.lose_head),
        "evict worker": ("has workers that are asked to go", stage.evict_workers),
        "restore worker": ("has other workers", stage.replace_workers),
        "restore head": ("gets its head back", stage.lost_heads.discard),
    }
    if what not in acts:
        raise CommandError(f"no such command: {what!r}")
    words, act = acts[what]
    act(name)
    return [f"{name} {words}"]


def _ray_cluster(stage: Stage, number: str) -> str:
    """Return the name of the Ray cluster that is the ``number``th by age."""
    names = stage.world.names()
    index = _number(number)
    if not 1 <= index <= len(names):
        raise CommandError(f"there is no Ray cluster {index}: there are {len(names)}")
    return names[index - 1]


def _resource(kind: str) -> ResourceType:
    if kind not in _KINDS:
        raise CommandError(f"{kind!r} is none of {', '.join(_KINDS)}")
    return _KINDS[kind]


def _number(text: str) -> int:
    if not text.isdecimal():
        raise CommandError(f"{text!r} is no number")
    return int(text)
