"""Checks of how an engine answers: from the serving alone, at once, and leaving nothing behind.

Controllers ask in every pass, in the loop that all fleets share. Nothing is timed: lines that run are counted, and what
is asked of the machine is heard, see asked.py.
"""

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from rayfleet.testing.suites.engine.asked import MOST_LINES
from rayfleet.testing.suites.engine.promises import ENGINE, HOOKS, promise
from rayfleet.testing.suites.engine.tested import ASKED_TIMES, TestedEngine

_LEFT_BLOCKS = ASKED_TIMES // 2  # one object kept for each question is twice as many
_THREADS = 4
_ELSEWHERE: Mapping[str, str] = {
    "HOME": "/nowhere",
    "TZ": "Asia/Tokyo",
    "LANG": "C.UTF-8",
    "USER": "x",
    "HOSTNAME": "y",
    "PWD": "/",
    "HF_TOKEN": "z",
    "CUDA_VISIBLE_DEVICES": "0",
    "VLLM_HOST_IP": "10.0.0.1",
    "RAY_ADDRESS": "auto",
}


class PurityChecks(TestedEngine):
    """The same answer, whoever asks, wherever and however often."""

    @promise(ENGINE)
    def test_its_answers_follow_from_the_serving_alone(self) -> None:
        """Two processes agree: a plan that varies would replace every replica again and again."""
        first, second = (self.asked_anew(self.most, seed=seed).answers for seed in ("1", "2"))
        assert first == second, "two processes of different hash seeds get different answers: sort what comes of a set"

    @promise(ENGINE)
    def test_its_answers_do_not_follow_the_machine(self) -> None:
        """Neither its variables nor its zone: the CLI of a person and the controllers of a cluster agree."""
        here = self.asked_anew(self.most, variables={"HOME": "/root", "TZ": "UTC", "LANG": "C"})
        there = self.asked_anew(self.most, variables=_ELSEWHERE)
        assert here.answers == there.answers, "the answers depend on the environment of the process that asks"

    @promise(ENGINE)
    def test_its_answers_are_the_same_each_time(self) -> None:
        """Asked twice in one process, of equal servings: no clock, no counter, no chance."""
        for serving in self.servings():
            first, second = (self.engine.launch_plan(serving) for _ in range(2))
            assert first == second, f"two plans of equal servings on {serving.nodes} nodes differ"

    @promise(ENGINE)
    def test_one_fleet_does_not_colour_another(self) -> None:
        """What was asked before does not show: A, then B, then A once more."""
        other = replace(self.most, served_model_name="another-name", environment={"A": "b"})
        engine = self.engine
        before = engine.launch_plan(self.most)
        engine.problems(other)
        assert engine.launch_plan(other) != before, "the served name is nowhere in the plan"
        assert engine.launch_plan(self.most) == before, "a plan changed after another fleet was asked about"

    @promise(ENGINE)
    def test_threads_may_ask_it_at_once(self) -> None:
        """Worker threads of the CLI and the loop of the controllers do."""
        engine = self.engine
        servings = [replace(self.most, served_model_name=f"model-{number}") for number in range(_THREADS * 8)]
        alone = [engine.launch_plan(serving) for serving in servings]
        with ThreadPoolExecutor(_THREADS) as threads:
            together = list(threads.map(engine.launch_plan, servings))
        assert together == alone, "asked by several threads at once, a fleet got another one's plan"

    @promise(HOOKS)
    def test_it_is_imported_without_its_engine(self) -> None:
        """Every process loads every plugin: the standard library, rayfleet and the plugin itself have to do."""
        own = {"rayfleet", "pluggy", self.plugin.__name__.partition(".")[0], *sys.stdlib_module_names}
        imported = self.asked_anew(self.most).imported
        heavy = [name for name in imported if name.partition(".")[0] not in own or name == "asyncio"]
        assert heavy == [], f"importing the plugin imports {', '.join(heavy[:8])}: import them where they are used"

    @promise(HOOKS)
    def test_its_import_changes_nothing(self) -> None:
        """No thread, no open file, no variable, no signal handler: the process belongs to somebody else."""
        changed = self.asked_anew(self.most).changed
        assert changed == [], f"importing and asking the plugin changed {', '.join(changed)}"

    @promise(HOOKS)
    def test_it_prints_nothing(self) -> None:
        """Standard output is the answer of the command that a person typed."""
        printed = self.asked_anew(self.most).printed
        assert printed == "", f"it printed {printed!r}"

    @promise(ENGINE)
    def test_it_asks_nobody(self) -> None:
        """No file, no network, no process, no sleep; what it reads of its own package it keeps."""
        effects = self.asked_anew(self.most).effects
        assert effects == [], f"problems() and launch_plan() are pure, and did: {'; '.join(effects[:5])}"

    @promise(ENGINE)
    def test_it_answers_at_once(self) -> None:
        """Counted in lines of Python that run, for the longest list of arguments too."""
        long = replace(self.most, arguments=(*self.most.arguments, *self.arguments * 20))
        asked = self.asked_anew(self.most, long)
        assert not asked.is_endless, (
            f"problems() and launch_plan() ran {MOST_LINES} lines for one fleet and were stopped; the "
            "controllers' loop waits for them in every pass"
        )

    @promise(ENGINE)
    def test_it_keeps_nothing_of_what_it_was_asked(self) -> None:
        """Controllers ask for months: what is kept of each question is a leak."""
        grown = self.asked_anew(self.most, times=ASKED_TIMES).grown_blocks
        assert grown <= _LEFT_BLOCKS, f"{grown} blocks of memory are left of {ASKED_TIMES} questions"
