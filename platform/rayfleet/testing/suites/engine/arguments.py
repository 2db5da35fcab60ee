"""Checks of what reaches the engine's command, and of what a manifest may not put there."""

from dataclasses import replace
from pathlib import Path

from rayfleet.planning.drain_hooks import ENDING_SECONDS, LAME_DUCK_SECONDS
from rayfleet.testing.launching import POD_IP
from rayfleet.testing.suites.engine.tested import TestedEngine

ODD_PATH = """/models/it's; touch escaped; $(touch escaped) `touch escaped` "$HOME" #"""
ODD_NAME = """it's $HOME; touch escaped"""
_PATH = "spec.serving.args"
_RAY_SECONDS = 3  # what the scripts give Ray to end in


class ArgumentChecks(TestedEngine):
    """``spec.serving.args``, and the words that the launch plan makes of the other fields."""

    def test_arguments_reach_it_unchanged(self, tmp_path: Path) -> None:
        """In their order, after those of the plan."""
        assert self.arguments
        words = self.words(replace(self.most, arguments=self.arguments), tmp_path)
        assert words[-len(self.arguments) :] == list(self.arguments)

    def test_a_name_cannot_break_out_of_the_shell(self, tmp_path: Path) -> None:
        """Whatever a model is called, by its path or by its clients, it is one word."""
        words = self.words(replace(self.most, model=ODD_PATH, served_model_name=ODD_NAME), tmp_path)
        for name in (ODD_PATH, ODD_NAME):
            assert [word for word in words if word in {name, f"{word.partition('=')[0]}={name}"}]
        assert not (tmp_path / "escaped").exists()

    def test_its_api_is_where_the_sidecar_asks(self, tmp_path: Path) -> None:
        """At the pod's own address, and at the port of the probe."""
        words = " ".join(self.words(self.most, tmp_path))
        assert POD_IP in words
        assert str(self.engine.launch_plan(self.most).probe.port) in words

    def test_its_own_flags_are_refused_with_their_field(self, tmp_path: Path) -> None:
        """What the engine is started with anyway is not for the manifest to set once more."""
        flags = [word.partition("=")[0] for word in self.words(self.most, tmp_path) if word.startswith("--")]
        assert flags
        for flag in flags:
            for again in ((flag, "1"), (f"{flag}=1",)):
                arguments = (*self.arguments, *again)
                problems = self.engine.problems(replace(self.most, arguments=arguments))
                paths = [problem.path for problem in problems if flag in problem.message]
                assert paths == [f"{_PATH}[{len(self.arguments)}]"], flag

    def test_help_is_refused_with_its_field(self) -> None:
        """It would end the engine at once, and for ever."""
        for flag in ("-h", "--help"):
            problems = self.engine.problems(replace(self.most, arguments=(flag,)))
            assert [problem.path for problem in problems] == [f"{_PATH}[0]"]

    def test_a_drain_ends_before_the_pod_is_killed(self, tmp_path: Path) -> None:
        """A longer one is refused with its field; the longest that is taken leaves time for Ray to end in.

        So does the engine that has no drain, or is told none.
        """
        longest = self.most
        if self.drain_flag is not None:
            drains = [replace(self.most, arguments=(self.drain_flag, str(seconds))) for seconds in range(120)]
            refused = [problems for drain in drains if (problems := self.engine.problems(drain))]
            assert all(problem.path.startswith(_PATH) for problems in refused for problem in problems)
            longest = next(drain for drain in reversed(drains) if not self.engine.problems(drain))
        killed_after = self.killed_after(longest, tmp_path)
        assert killed_after > float(longest.arguments[-1] if longest.arguments else 0)
        assert LAME_DUCK_SECONDS + killed_after + _RAY_SECONDS <= ENDING_SECONDS
