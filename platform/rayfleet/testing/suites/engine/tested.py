"""The engine that a suite is about, and ways to ask it and to run it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType, ModuleType

from rayfleet.manifest.serving import encode_serving
from rayfleet.model.engine import LaunchPlan, NodeLaunch
from rayfleet.model.fleet import RayClusterTemplate
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.policies import Drain
from rayfleet.model.serving import Backend, Serving
from rayfleet.planning.render import render_template
from rayfleet.plugin.contracts import Engine
from rayfleet.testing.launching import LIMIT_SECONDS, NO_HEAD, POD_IP, Image, Running, real

STAYS = f"exec {real('sleep')} 60"
# Hears no SIGTERM, and has a child that hears none: an engine that hangs, or Ray's daemons while they drain.
DEAF = f"trap '' TERM; {real('sleep')} 60 & touch deaf; {real('sleep')} 60"
_NOTES_ITS_WORDS = r"""printf '%s\0' "$@" >engine.words; touch engine.noted"""
# Stands for what rayfleet's frames bring along: their watches stay, their waits and looks are over at once.
_WATCHES = f"""\
case "${{3:-}}" in
  serve | link | join) {STAYS} ;;
  wait | splits) exit 0 ;;
esac
"""
_ASKS_ANEW = Path(__file__).with_name("asked.py").read_text(encoding="utf-8")
ASKED_TIMES = 300
# Of a process that asks, a second of work that a busy machine makes a minute of; what hangs is found by that alone.
ASKING_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedAnew:
    """What a new process was told: the engine's ``answers`` as text, problems and plan of each serving in turn.

    ``imported`` are the modules that came with the plugin, ``printed`` is what it wrote. ``effects`` are what it asked
    of the machine when it was asked once more, ``lines`` the most lines of Python for one pair of answers;
    ``is_endless``: it was stopped at ``asked.MOST_LINES``. ``grown_blocks`` of memory are left of ``ASKED_TIMES``
    questions, ``changed`` is what of the process is not as before.
    """

    answers: list[list[str]]
    imported: list[str]
    effects: list[str]
    lines: int
    is_endless: bool
    grown_blocks: int
    changed: list[str]
    printed: str


class TestedEngine:
    """What a subclass says.

    ``plugin`` is the module that contributes the engine ``name``, and ``program`` the program that is the engine, on
    the head. ``programs`` are the other programs of its image that its scripts need besides ``ray``, as bash texts, run
    in a folder of the test; ``python3`` need not stand for what rayfleet's own frames run. ``arguments`` are some of
    ``spec.serving.args`` that it takes. ``drain_flag`` is the flag by which it is told for how many seconds it may
    finish requests, None when it has none. ``node_counts`` are numbers of nodes that it can use, and ``limit_seconds``
    bounds each wait.

    What an engine does not have is declared, and the checks of it are off. ``sets_flags``: the plan gives flags of its
    own to the engine, so the manifest may not; False for an engine whose arguments are the whole command.
    ``metrics_page`` is a page of the engine's metrics, recorded while it served; empty: none is at hand.
    ``command_line`` is what a person writes to start the engine on one node, for the plugin's command reader; empty:
    the plugin has none. ``rank_programs`` are the programs that are the engine on the nodes of a replica without Ray,
    the head's first, the last one on all that follow; empty: it does not span nodes without Ray.
    """

    plugin: ModuleType
    name: str
    program: str
    arguments: tuple[str, ...]
    drain_flag: str | None
    programs: Mapping[str, str] = {}
    node_counts: tuple[int, ...] = (1, 2)
    limit_seconds: float = LIMIT_SECONDS
    sets_flags: bool = True
    metrics_page: str = ""
    command_line: tuple[str, ...] = ()
    rank_programs: tuple[str, ...] = ()

    def serving(self, nodes: int) -> Serving:
        """Return what the engine can do on that many nodes, with neither arguments nor environment."""
        raise NotImplementedError

    def without_ray(self, nodes: int) -> Serving:
        """Return the same without Ray: what else it takes for that, a subclass knows."""
        return replace(self.serving(nodes), backend=Backend.MP)

    def reaching(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        """Return the engine's words that come of ``spec.serving.args``: the same, unless a subclass knows better."""
        return arguments

    @property
    def engine(self) -> Engine:
        """The engine, as the plugin's hook gives it. Raises AssertionError when it gives none of the name."""
        engines: Sequence[Engine] = self.plugin.rayfleet_engines()
        engine = next((engine for engine in engines if engine.name == self.name), None)
        assert engine is not None, f"rayfleet_engines gives {[each.name for each in engines]}, and no {self.name!r}"
        return engine

    @property
    def most(self) -> Serving:
        """What the engine can do on the most of its nodes."""
        return self.serving(max(self.node_counts))

    def servings(self) -> Iterator[Serving]:
        """Yield what it can do on each number of nodes, then what it can do there without Ray."""
        yield from map(self.serving, self.node_counts)
        yield from self.servings_without_ray()

    def servings_without_ray(self) -> Iterator[Serving]:
        """Yield what it has a plan for that is without Ray."""
        for serving in map(self.without_ray, self.node_counts):
            if not self.engine.problems(serving) and self.engine.launch_plan(serving).backend is Backend.MP:
                yield serving

    def plans(self) -> Iterator[LaunchPlan]:
        """Yield the launch plan of each of ``servings``."""
        yield from map(self.engine.launch_plan, self.servings())

    def launches(self) -> Iterator[NodeLaunch]:
        """Yield how head, worker and ranks are started, for each of ``servings``."""
        for plan in self.plans():
            yield from nodes_of(plan)

    def rendered(self, serving: Serving) -> RayClusterTemplate:
        """Return the template of a replica."""
        return render_template(serving, self.engine.launch_plan(serving), ObjectMeta(name="tested"), Drain())

    def asked_anew(
        self, *servings: Serving, seed: str = "1", times: int = 0, variables: Mapping[str, str] = MappingProxyType({})
    ) -> AskedAnew:
        """Return what the engine says in a process of its own, of each of ``servings``, then ``times`` of the first.

        ``seed`` is that of Python's hashes, on which the order of sets depends. Raises AssertionError when the plugin
        does not come to an end there.
        """
        try:
            done = subprocess.run(
                [sys.executable, "-c", _ASKS_ANEW, self.plugin.__name__, self.name],
                env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed, **variables},
                input=json.dumps([[encode_serving(each) for each in servings], times]),
                capture_output=True,
                text=True,
                timeout=min(ASKING_SECONDS, self.limit_seconds * 10),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise AssertionError(
                f"{self.plugin.__name__} hangs: import, hook, problems() and launch_plan() of {len(servings)} fleets "
                f"did not end within {error.timeout:g} s, and every process that loads plugins would wait for it"
            ) from None
        assert done.returncode == 0, f"{self.plugin.__name__} fails in a process of its own: {done.stderr[-2000:]}"
        return AskedAnew(**json.loads(done.stdout))

    def image(self, folder: Path, engine: str = STAYS, ray: str = STAYS) -> Image:
        """Return an image whose engine notes its words, then does as ``engine`` says; as ``ray`` does Ray."""
        image = Image(folder=folder, limit_seconds=self.limit_seconds)
        for name, text in self.programs.items():
            image.add(name, f"{_WATCHES}{text}" if name == "python3" else text)
        image.add("ray", f"touch ray.started\n{ray}")
        image.add(self.program, f"{_NOTES_ITS_WORDS}\n{engine}")
        return image

    def rank_image(self, folder: Path, rank: int, engine: str = STAYS) -> Image:
        """Return the image of a node without Ray: it has none, and the program of that rank is the engine."""
        folder.mkdir()
        image = Image(folder=folder, limit_seconds=self.limit_seconds, variables={"POD_IP": rank_address(rank)})
        programs = {"python3": "exit 0", **dict.fromkeys(self.rank_programs, STAYS), **self.programs}
        for name, text in programs.items():
            image.add(name, f"{_WATCHES}{text}" if name == "python3" else text)
        image.add(self.rank_program(rank), f"{_NOTES_ITS_WORDS}\n{engine}")
        return image

    def rank_program(self, rank: int) -> str:
        """Return the program that is the engine on the node of that rank, the head's is 0."""
        return self.rank_programs[min(rank, len(self.rank_programs) - 1)]

    def head(
        self, image: Image, serving: Serving | None = None, ray_start: str = "ray start"
    ) -> AbstractContextManager[Running]:
        """Run the head's script of a serving, that of the most nodes unless another is given."""
        return image.running(self.engine.launch_plan(serving or self.most).head, ray_start=ray_start)

    def worker(self, image: Image, head: str = NO_HEAD) -> AbstractContextManager[Running]:
        """Run the script of a worker whose head has that address."""
        return image.running(self.engine.launch_plan(self.most).worker, head=head)

    def words(self, serving: Serving, folder: Path) -> list[str]:
        """Return the words after the engine's program, as they come to it."""
        image = self.image(folder)
        with self.head(image, serving):
            image.wait_for("engine.noted")
            return image.wait_for("engine.words").split("\0")[:-1]

    def killed_after(self, serving: Serving, folder: Path) -> float:
        """Return the seconds from SIGTERM to SIGKILL of an engine, and a child of it, that hear no SIGTERM."""
        image = self.image(folder, engine=DEAF)
        no_waiting(image)
        with self.head(image, serving) as script:
            image.wait_for("deaf")
            script.terminate()
            assert script.ended().status == 0
        return max(slept(image))


def rank_address(rank: int) -> str:
    """Return the address of a node in tests of ranks; that of the head is POD_IP."""
    front, _, last = POD_IP.rpartition(".")
    return f"{front}.{int(last) + rank}"


def nodes_of(plan: LaunchPlan) -> tuple[NodeLaunch, ...]:
    """Return every kind of node that a plan starts."""
    return (plan.head, plan.worker, *plan.ranks)


def no_waiting(image: Image) -> None:
    """Let waiting take next to no time in the scripts, and note what ``sleep`` was asked for; see ``slept``.

    Bash takes functions from the environment: the pauses of the frame, which start no process, are ``read -t 0.1``.
    """
    image.add("sleep", f'echo "$1" >>sleeps; exec {real("sleep")} 0.001')
    image.variables["BASH_FUNC_read%%"] = '() { builtin read "${@/#0.1/0.002}"; }'


def slept(image: Image) -> list[float]:
    """Return how long ``sleep`` was asked to wait since ``no_waiting``, in seconds, in order."""
    path = image.folder / "sleeps"
    return [float(line) for line in path.read_text(encoding="utf-8").split()] if path.exists() else []
