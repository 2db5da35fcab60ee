"""Plugins that are bad in one way each, as an author might write them: the example's text with a fault in it.

Each has the check of the suite that catches it. The others of the project are held to them too: none may break or block
a reconcile or a request (tests/parts/plugin/test_bad_plugins.py).
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from rayfleet.cli.plugin_template import rendered
from rayfleet.model.serving import Serving
from rayfleet.testing.suites.engine import EngineSuite

NAME = "bad"
MODULE = "rayfleet_bad_plugin"
_PLAN = '        return plan_of(frame, image="ghcr.io/bad/bad-server")\n'
_PROBLEMS = "        return tuple(flag_problems(serving.arguments, FLAGS))\n"
_HOOK = "    return (Bad(),)\n"
_TOP = "FLAGS = "


@dataclass(frozen=True, slots=True, kw_only=True)
class BadPlugin:
    """``title`` says what is wrong; ``check`` of EngineSuite catches it, empty where there is no engine to check.

    ``replaced`` in the example's text gives the plugin's.
    """

    title: str
    check: str
    replaced: tuple[tuple[str, str], ...]

    @property
    def source(self) -> str:
        """The plugin's text."""
        text = good_source()
        for old, new in self.replaced:
            assert old in text, old
            text = text.replace(old, new)
        return text


class BadSuite(EngineSuite):
    """The suite that its author wrote."""

    name = NAME
    program = "bad-server"
    arguments = ("--threads", "2")
    drain_flag = None
    node_counts = (1,)
    limit_seconds = 2.0

    def __init__(self, plugin: ModuleType) -> None:
        self.plugin = plugin

    def serving(self, nodes: int) -> Serving:
        """Return what the plugin says that it can do."""
        return Serving(engine=NAME, model="org/name", served_model_name="name", nodes=nodes)


def good_source() -> str:
    """Return the text of a plugin without fault, with the engine ``bad``."""
    return rendered(NAME)[f"rayfleet_{NAME}/plugin.py"]


def _top(title: str, check: str, line: str) -> BadPlugin:
    return BadPlugin(title=title, check=check, replaced=((_TOP, f"{line}\n{_TOP}"),))


def _plan(title: str, check: str, lines: str) -> BadPlugin:
    return BadPlugin(title=title, check=check, replaced=((_PLAN, f"{lines}\n{_PLAN}"),))


def _problems(title: str, check: str, lines: str) -> BadPlugin:
    return BadPlugin(title=title, check=check, replaced=((_PROBLEMS, f"{lines}\n"),))


def _hook(title: str, check: str, lines: str) -> BadPlugin:
    return BadPlugin(title=title, check=check, replaced=((_HOOK, f"{lines}\n"),))


def _environment(title: str, check: str, top: str, value: str) -> BadPlugin:
    """Return a plugin with one more variable in its plan."""
    plan = _PLAN.replace("plan_of(frame", f"plan_of(replace(frame, environment={value})")
    imports = "from dataclasses import replace\n"
    return BadPlugin(title=title, check=check, replaced=((_TOP, f"{imports}{top}\n{_TOP}"), (_PLAN, plan)))


BAD_PLUGINS: tuple[BadPlugin, ...] = (
    _top("raises at import", "", 'raise RuntimeError("libcuda.so.1 is not here")'),
    BadPlugin(
        title="was written for another contract",
        check="it_is_written_for_this_contract",
        replaced=(("rayfleet_contract = 1", "rayfleet_contract = 2"),),
    ),
    _hook("raises in its hook", "its_plugin_contributes_it", '    raise RuntimeError("no licence")'),
    _hook("returns a generator", "its_hook_returns_a_list_or_a_tuple", "    return (each for each in (Bad(),))"),
    _hook("lists a name twice", "it_lists_no_name_twice", "    return (Bad(), Bad())"),
    BadPlugin(
        title="has another plugin's name",
        check="no_installed_plugin_has_its_name",
        replaced=(('name = "bad"', 'name = "vllm"'),),
    ),
    BadPlugin(
        title="lies about its name",
        check="its_name_stays_its_name",
        replaced=(
            (_TOP, f"import itertools\nCOUNT = itertools.count()\n{_TOP}"),
            ('    name = "bad"\n', '    name = property(lambda _: "bad" if next(COUNT) % 4 < 2 else "worse")\n'),
        ),
    ),
    BadPlugin(
        title="misspells its hook",
        check="its_hooks_are_hooks",
        replaced=(("def rayfleet_engines", "def rayfleet_engine"),),
    ),
    _plan("never ends", "it_answers_at_once", "        while True:\n            serving = serving"),
    _plan("sleeps", "it_asks_nobody", "        import time\n        time.sleep(0.2)"),
    _plan("asks the network", "it_asks_nobody", "        import socket\n        socket.getaddrinfo('localhost', 80)"),
    BadPlugin(
        title="leaks",
        check="it_keeps_nothing_of_what_it_was_asked",
        replaced=((_TOP, f"SEEN: list[str] = []\n{_TOP}"), (_PLAN, f"        SEEN.append(command)\n{_PLAN}")),
    ),
    BadPlugin(
        title="hands out what it keeps",
        check="who_holds_a_plan_cannot_change_the_next",
        replaced=(
            (_TOP, f"from dataclasses import replace\nKEPT: dict[str, str] = {{}}\n{_TOP}"),
            (
                _PLAN,
                _PLAN.replace("return ", "plan = ") + "        head = replace(plan.head, environment=KEPT)\n"
                "        return replace(plan, head=head)\n",
            ),
        ),
    ),
    _environment(
        "plans in the order of a set",
        "its_answers_follow_from_the_serving_alone",
        "",
        '{"ORDER": ",".join({"a", "b", "c", "d", "e", "f", "g"})}',
    ),
    _environment(
        "plans by the machine",
        "its_answers_do_not_follow_the_machine",
        "import os",
        '{"ZONE": os.environ.get("TZ", "")}',
    ),
    _environment(
        "plans by the clock", "its_answers_are_the_same_each_time", "import time", '{"NOW": str(time.time_ns())}'
    ),
    _problems("returns a list", "its_problems_are_a_tuple_of_field_errors", "        return []"),
    _problems(
        "raises for what it cannot do",
        "it_never_raises_whatever_is_asked",
        "        return () if serving.nodes < 9 else (1 / 0,)",
    ),
    BadPlugin(
        title="returns no plan",
        check="its_plan_is_of_the_types_of_the_contract",
        replaced=((_PLAN, "        return {'head': frame}\n"),),
    ),
    _plan(
        "writes a huge script",
        "linux_and_etcd_take_its_scripts",
        '        frame = Frame(command=command, programs=("bad-server",), way_out="x" * 200_000)',
    ),
    _plan(
        "gives a secret as a word",
        "no_secret_comes_among_its_words",
        """        command += ' --api-key "${VLLM_API_KEY:-}"'\n"""
        '        frame = Frame(command=command, programs=("bad-server",), way_out="x")',
    ),
    _top("loads what is heavy", "it_is_imported_without_its_engine", "import asyncio"),
    _top("starts a thread", "its_import_changes_nothing", "import threading\nthreading.Timer(9, print).start()"),
    _top("prints", "it_prints_nothing", 'print("bad 1.0, (c) somebody")'),
)


@contextmanager
def imported_plugin(source: str, folder: Path) -> Iterator[ModuleType]:
    """Yield a module of a text, as if it were installed; it is forgotten at the end."""
    (folder / f"{MODULE}.py").write_text(source, encoding="utf-8")
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield importlib.import_module(MODULE)
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(MODULE, None)
