"""The engine as data: ``spec.serving.args`` is the whole command of a server, and this says where its words go. Pure.

Four placeholders stand for what rayfleet knows: ``{host}`` and ``{port}``, where the server has to listen, ``{model}``
and ``{name}``, the model and the name that requests ask for. The first two must be there: a server that listens
elsewhere is never asked. The server runs on the head alone, so a replica has one node; what it serves is its own
business, and so are its metrics: none is read but what the probes need (``/health`` and ``/v1/...``).
"""

import shlex
from collections.abc import Iterator

from rayfleet.manifest.checking import shown
from rayfleet.model.engine import EngineProbe, LaunchPlan
from rayfleet.model.errors import FieldError
from rayfleet.model.ports import ENGINE_PORT
from rayfleet.model.serving import Serving
from rayfleet.plugin.arguments import PATH
from rayfleet.plugin.contracts import ModelFormat
from rayfleet.plugin.frame import Frame
from rayfleet.plugin.plans import plan_of

HOST, PORT, MODEL, NAME = "{host}", "{port}", "{model}", "{name}"
# Named by the manifest; a plan has to have one all the same.
NO_IMAGE = "rayfleet/no-image-named"

_NEEDED = ((HOST, "listens at the pod's address"), (PORT, f"listens on port {ENGINE_PORT}"))
_EVERY_ADDRESS = frozenset({"0.0.0.0", "::", "[::]", "*"})
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh"})


class OpenAi:
    """One server on the head of a replica."""

    name = "openai"
    model_format: ModelFormat | None = None

    def problems(self, serving: Serving) -> tuple[FieldError, ...]:
        """Return what is wrong with the command and with what surrounds it; see Engine."""
        return (*_command_problems(serving.arguments), *_frame_problems(serving))

    def launch_plan(self, serving: Serving) -> LaunchPlan:
        """Return how the server is started; see Engine."""
        frame = Frame(
            command=" ".join(_shell_word(word, serving) for word in serving.arguments),
            programs=(serving.arguments[0],),
            way_out="Name an image that has it in spec.serving.image, or another command in spec.serving.args.",
        )
        return plan_of(frame, image=serving.image or NO_IMAGE, probe=EngineProbe(port=ENGINE_PORT))


def _shell_word(word: str, serving: Serving) -> str:
    """Return one word for a shell, with every placeholder filled; only the address is the shell's to fill in.

    In one pass over the word: what a placeholder stands for is not looked through for others.
    """
    parts = []
    rest = word
    while rest:
        before, placeholder, after = _split(rest)
        parts.append(shlex.quote(before) if before else "")
        parts.append(_filled(placeholder, serving) if placeholder else "")
        rest = after
    return "".join(parts) or "''"


def _split(text: str) -> tuple[str, str, str]:
    """Return what is before the first placeholder, the placeholder, and what is after it; both empty without one."""
    places = [(text.index(each), each) for each in (HOST, PORT, MODEL, NAME) if each in text]
    if not places:
        return text, "", ""
    start, placeholder = min(places)
    return text[:start], placeholder, text[start + len(placeholder) :]


def _filled(placeholder: str, serving: Serving) -> str:
    values = {PORT: str(ENGINE_PORT), MODEL: serving.model, NAME: serving.served_model_name}
    return '"$POD_IP"' if placeholder == HOST else shlex.quote(values[placeholder])


def _command_problems(arguments: tuple[str, ...]) -> Iterator[FieldError]:
    if not arguments:
        yield FieldError(
            path=PATH,
            message=f"openai starts the command that args gives, and there is none; as in "
            f"[my-server, --host, '{HOST}', --port, '{PORT}', --model, '{MODEL}']",
        )
        return
    if not arguments[0] or any(mark in arguments[0] for mark in "{}= \n"):
        yield FieldError(path=f"{PATH}[0]", message=f"{shown(arguments[0])} is no program; the command begins with one")
    if arguments[0].rpartition("/")[2] in _SHELLS:
        yield FieldError(
            path=f"{PATH}[0]",
            message=f"{shown(arguments[0])} is a shell, which does not hand SIGTERM on to the server; name the server",
        )
    for placeholder, words in _NEEDED:
        if not any(placeholder in argument for argument in arguments[1:]):
            yield FieldError(
                path=PATH, message=f"{placeholder} is in no argument, so nothing says that the server {words}"
            )
    for place, argument in enumerate(arguments):
        if argument.rpartition("=")[2] in _EVERY_ADDRESS:
            message = f"{argument} listens on every address; write {HOST} for the pod's own"
            yield FieldError(path=f"{PATH}[{place}]", message=message)


def _frame_problems(serving: Serving) -> Iterator[FieldError]:
    if not serving.image:
        yield FieldError(
            path="spec.serving.image",
            message="openai knows no image of its own; name one that has the command's program and Ray",
        )
    if serving.nodes != 1:
        yield FieldError(
            path="spec.serving.nodes",
            message=f"openai starts one server on one node, not on {serving.nodes}; raise spec.replicas instead",
        )
    for kind, size in (("tensor", serving.parallelism.tensor), ("pipeline", serving.parallelism.pipeline)):
        if size != 1:
            yield FieldError(
                path=f"spec.serving.parallelism.{kind}",
                message=f"openai does not know how the server is told of it, so {kind} must be 1, not {size}; "
                "write the server's own flag into spec.serving.args",
            )
