"""Checks of what reaches the engine's command, and of what a manifest may not put there."""

from dataclasses import replace
from pathlib import Path

from rayfleet.planning.drain_hooks import ENDING_SECONDS, LAME_DUCK_SECONDS
from rayfleet.testing.launching import POD_IP
from rayfleet.testing.suites.engine.promises import ARGUMENTS, DRAIN, ENGINE, FRAME, NODE, PROBE, promise
from rayfleet.testing.suites.engine.tested import TestedEngine

ODD_PATH = """/models/it's; touch escaped; $(touch escaped) `touch escaped` "$HOME" #"""
ODD_NAME = """it's $HOME; touch escaped"""
_PATH = "spec.serving.args"
_SECRETS = ("HF_TOKEN", "VLLM_API_KEY", "OPENAI_API_KEY", "API_KEY", "RAY_AUTH_TOKEN", "AWS_SECRET_ACCESS_KEY")
_SECRET = "a-token-that-must-not-be-told"  # noqa: S105 - a test's own
_RAY_SECONDS = 3  # what the scripts give Ray to end in


class ArgumentChecks(TestedEngine):
    """``spec.serving.args``, and the words that the launch plan makes of the other fields."""

    @promise(ENGINE)
    def test_arguments_reach_it_unchanged(self, tmp_path: Path) -> None:
        """In their order, after those of the plan."""
        expected = list(self.reaching(self.arguments))
        assert expected, "declare some arguments that the engine takes"
        words = self.words(replace(self.most, arguments=self.arguments), tmp_path)
        assert words[-len(expected) :] == expected, f"they came as {words}: quote each with shlex.join()"

    @promise(FRAME)
    def test_a_name_cannot_break_out_of_the_shell(self, tmp_path: Path) -> None:
        """Whatever a model is called, by its path or by its clients, it is one word."""
        words = self.words(replace(self.most, model=ODD_PATH, served_model_name=ODD_NAME), tmp_path)
        for name in (ODD_PATH, ODD_NAME):
            whole = [word for word in words if word in {name, f"{word.partition('=')[0]}={name}"}]
            assert whole, f"{name!r} is no word of {words}: quote it with shlex.quote()"
        assert not (tmp_path / "escaped").exists(), "a part of the name was run as a command"

    @promise(PROBE)
    def test_its_api_is_where_the_sidecar_asks(self, tmp_path: Path) -> None:
        """At the pod's own address, and at the port of the probe."""
        words = " ".join(self.words(self.most, tmp_path))
        port = self.engine.launch_plan(self.most).probe.port
        assert POD_IP in words, f'the engine is not told "$POD_IP": {words}'
        assert str(port) in words, f"the engine is not told the probe's port {port}: {words}"

    @promise(ARGUMENTS, needs="sets_flags")
    def test_its_own_flags_are_refused_with_their_field(self, tmp_path: Path) -> None:
        """What the engine is started with anyway is not for the manifest to set once more.

        A switch that the plan leaves out where the manifest has it is no such thing.
        """
        words = self.words(self.most, tmp_path)
        flags = [word.partition("=")[0] for word in words if word.startswith("--")]
        assert flags, "declare sets_flags = False if the plan gives no flags to the engine"
        for flag in flags:
            if self._is_left_to_the_manifest(flag, words, tmp_path):
                continue
            for again in ((flag, "1"), (f"{flag}=1",)):
                arguments = (*self.arguments, *again)
                problems = self.engine.problems(replace(self.most, arguments=arguments))
                paths = [problem.path for problem in problems if flag in problem.message]
                expected = [f"{_PATH}[{len(self.arguments)}]"]
                assert paths == expected, f"{flag} is the plan's; problems() has it at {paths}, not at {expected}"

    def _is_left_to_the_manifest(self, flag: str, words: list[str], folder: Path) -> bool:
        """Whether a flag has no value, and is still there once where the manifest has it too."""
        if flag not in words or not [*words, "--"][words.index(flag) + 1].startswith("--"):
            return False
        again = folder / flag
        again.mkdir()
        return self.words(replace(self.most, arguments=(*self.arguments, flag)), again).count(flag) == 1

    @promise(ARGUMENTS, needs="sets_flags")
    def test_help_is_refused_with_its_field(self) -> None:
        """It would end the engine at once, and for ever."""
        for flag in ("-h", "--help"):
            problems = self.engine.problems(replace(self.most, arguments=(flag,)))
            paths = [problem.path for problem in problems]
            assert paths == [f"{_PATH}[0]"], f"{flag} ends the engine at once; problems() has it at {paths}"

    @promise(DRAIN)
    def test_a_drain_ends_before_the_pod_is_killed(self, tmp_path: Path) -> None:
        """A longer one is refused with its field; the longest that is taken leaves time for Ray to end in.

        So does the engine that has no drain, or is told none.
        """
        longest, drain = self.most, 0.0
        if self.drain_flag is not None:
            drains = [replace(self.most, arguments=(self.drain_flag, str(seconds))) for seconds in range(120)]
            refused = [problems for drain in drains if (problems := self.engine.problems(drain))]
            assert all(problem.path.startswith(_PATH) for problems in refused for problem in problems)
            longest = next(drain for drain in reversed(drains) if not self.engine.problems(drain))
            drain = float(longest.arguments[-1])
        killed_after = self.killed_after(longest, tmp_path)
        assert killed_after > drain, f"it is killed after {killed_after:g} s, before its drain of {drain:g} s is over"
        ends = LAME_DUCK_SECONDS + killed_after + _RAY_SECONDS
        assert ends <= ENDING_SECONDS, (
            f"it may end {ends:g} s after the drain began; the pod is killed at {ENDING_SECONDS}"
        )

    @promise(NODE)
    def test_no_secret_comes_among_its_words(self, tmp_path: Path) -> None:
        """Who may list processes reads their words; secrets stay in the environment, where engines find them."""
        image = self.image(tmp_path)
        image.variables.update(dict.fromkeys(_SECRETS, _SECRET))
        with self.head(image) as script:
            image.wait_for("engine.noted")
            words = image.wait_for("engine.words").split("\0")
            script.terminate()
            output = script.ended().output
        shown = [word for word in words if _SECRET in word]
        assert shown == [], f"a secret of the environment is among the engine's words: {shown}"
        assert _SECRET not in output, "a secret of the environment is in the container's log"
