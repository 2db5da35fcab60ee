"""How the pods start and end: who starts Ray, who asks the engine, who ends it. Pure."""

import re
from collections.abc import Iterator

from rayfleet.objects.container_specs import container_words
from rayfleet.objects.parts import part
from rayfleet.objects.shell_commands import shell_script
from rayfleet.planning.overlay import OWN_MARKS, PEERS_MARKS, Overlay, runs_any, sidecar_overlay
from rayfleet.planning.sidecar import SIDECAR_NAME
from rayfleet.preflight.findings import Finding
from rayfleet.preflight.subject import Subject

# An engine that spans its nodes without Ray is told by these how many there are, or where they meet.
_OWN_RANKS = ("--nnodes", "--dist-init-addr")
_LOOP = re.compile(r"\b(while|until)\b")


def commands_without_ray(subject: Subject) -> Iterator[Finding]:
    """Yield a warning for each group of an overwritten command in which nothing starts Ray.

    Not of engines that need none: those that a plugin starts, and those that are told of their ranks.
    """
    for group in subject.groups if not subject.is_rendered else ():
        words = container_words(group.ray_container)
        has_own_ranks = any(flag in word for word in words for flag in _OWN_RANKS)
        if subject.starts_ray(group) or has_own_ranks or _runs_a_file(words):
            continue
        wrong = "has no command" if not words else "has a command that never starts Ray"
        message = (
            f"{wrong}, and ray.io/overwrite-container-cmd keeps KubeRay from adding it: this node never joins; run"
            ' `eval "$KUBERAY_GEN_RAY_START_CMD"` in it, or take the annotation away'
        )
        yield Finding(rule="no-ray-start", path=group.container_path(0), message=message)


def missing_sidecar(subject: Subject) -> Iterator[Finding]:
    """Yield a warning for a head whose readiness nobody takes from the engine."""
    others = subject.head.beside
    if any(runs_any(container, OWN_MARKS) for _, container in others):
        return
    for path, container in others:
        if runs_any(container, PEERS_MARKS):
            message = (
                "aibrix_runtime says ready without asking the engine: requests reach a replica that loads, hangs or has"
                f" lost a node; put {SIDECAR_NAME} in its place"
            )
            yield Finding(rule="blind-sidecar", path=path, message=message)
            return
    if subject.is_unread:  # what it will get is not known yet
        return
    overlay = sidecar_overlay(subject.fleet, subject.readers) if subject.fleet is not None else Overlay()
    if overlay.container is not None:
        return
    why = f" and gets none ({overlay.reason})" if overlay.reason else ""
    message = (
        f"nobody asks the engine whether it is well: the head has no {SIDECAR_NAME}{why}, so requests reach a replica"
        " that loads, hangs or has lost a node; add it (spec.serving brings it)"
    )
    yield Finding(rule="no-sidecar", path=f"{subject.head.path}.template.spec.containers", message=message)


def stopping_workers(subject: Subject) -> Iterator[Finding]:
    """Yield a warning for each worker that ends Ray the moment it is asked to go; not of one that waits in a loop."""
    for group in subject.workers:
        hook = part(group.ray_container, "lifecycle", "preStop", "exec")
        before, stops, _ = " ".join(container_words(hook)).partition("ray stop")
        if stops and not _LOOP.search(before):
            message = (
                "`ray stop` in preStop ends the engine while the head still finishes requests, for both are asked to go"
                " at once; wait in it until the head's engine port is closed"
            )
            yield Finding(rule="prestop-ends-ray", path=f"{group.container_path(0)}.lifecycle.preStop", message=message)


def _runs_a_file(words: list[str]) -> bool:
    """Whether the command is a program or script whose text is not here."""
    return bool(words) and shell_script(words) is None and words[0].rpartition("/")[2] not in {"vllm", "sleep", "tail"}
