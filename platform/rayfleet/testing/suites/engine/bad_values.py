"""Checks of what an engine says of values that it cannot use: problems with their fields, never an exception."""

from collections.abc import Iterator
from dataclasses import replace

from rayfleet.manifest.schema import SERVING_FIELDS
from rayfleet.model.engine import LaunchPlan
from rayfleet.model.errors import FieldError
from rayfleet.model.serving import Backend, NodeResources, Parallelism, Serving
from rayfleet.plugin.shapes import type_problems
from rayfleet.testing.launching import bash_problem
from rayfleet.testing.suites.engine.promises import ENGINE, PROBLEM, promise
from rayfleet.testing.suites.engine.tested import TestedEngine, nodes_of

_MOST_LETTERS = 600


def odd_servings(serving: Serving) -> Iterator[tuple[str, Serving]]:
    """Yield what a manifest may ask and hardly anybody means, each with a name."""
    yield "a hundred nodes", replace(serving, nodes=100)
    yield "3 nodes, tensor 7", replace(serving, nodes=3, parallelism=Parallelism(tensor=7))
    yield "tensor and pipeline", replace(serving, parallelism=Parallelism(tensor=2, pipeline=3))
    yield "accelerators", replace(serving, resources=NodeResources(accelerators=8))
    yield (
        "odd accelerators",
        replace(serving, resources=NodeResources(accelerators=1, accelerator_resource="example.com/npu")),
    )
    for model in (
        "x" * 1024,
        "x",
        "a b",
        "./here",
        "nosuch:thing",
        "/",
        "a/b/c/d",
        "\N{SNOWMAN}",
        "-m",
        "--help",
        "a\nb",
    ):
        yield f"the model {model!r:.20}", replace(serving, model=model)
    for name in ("-", "a b", "\N{SNOWMAN}", "x" * 63):
        yield f"the name {name!r:.20}", replace(serving, served_model_name=name)
    for word in ("", "-", "--", "=", "--=", "--a=b=c", "{}", "{host}", "--port", "-1", "\N{SNOWMAN}", "a\nb"):
        yield f"the argument {word!r}", replace(serving, arguments=(*serving.arguments, word))
    yield "a thousand arguments", replace(serving, arguments=(*serving.arguments, *("--flag",) * 1000))
    yield "an odd environment", replace(serving, environment={"A": "", "B": "a\nb", "C": "$(A) $B"})
    for backend in Backend:
        yield f"the backend {backend}", replace(serving, backend=backend)
        yield f"the backend {backend} on 4 nodes", replace(serving, backend=backend, nodes=4)
    yield "an odd image", replace(serving, image="x", ray_version="1")


class BadValueChecks(TestedEngine):
    """Whatever a manifest may hold."""

    @promise(ENGINE)
    def test_it_never_raises_whatever_is_asked(self) -> None:
        """``problems()`` answers for every fleet: an exception would hold that fleet back with no word to its owner."""
        for title, serving in odd_servings(self.most):
            try:
                self.engine.problems(serving)
            except Exception as error:
                raise AssertionError(
                    f"problems() raised {type(error).__name__} for {title}: {error}; return a FieldError instead"
                ) from error

    @promise(ENGINE)
    def test_its_problems_are_a_tuple_of_field_errors(self) -> None:
        """Empty when all is well; no list, no generator, no text, no None."""
        for title, serving in odd_servings(self.most):
            wrong = list(type_problems(self.engine.problems(serving), tuple[FieldError, ...], "problems()"))
            assert wrong == [], f"{title}: {'; '.join(wrong)}"

    @promise(PROBLEM)
    def test_its_problems_name_a_field_of_the_manifest(self) -> None:
        """In its own spelling, so that the owner finds it: ``spec.serving.args[0]``."""
        for title, problem in self._problems():
            start, _, rest = problem.path.partition("spec.serving.")
            field = rest.partition(".")[0].partition("[")[0]
            assert not start, f"{title}: {problem.path!r} does not begin with spec.serving."
            assert field in SERVING_FIELDS, f"{title}: {problem.path!r}: fields are {', '.join(SERVING_FIELDS)}"

    @promise(PROBLEM)
    def test_its_problems_are_a_line_to_read(self) -> None:
        """They stand in conditions, in events and on terminals."""
        for title, problem in self._problems():
            message = problem.message
            assert message.strip() == message != "", f"{title}: the message is {message!r}"
            assert len(message.splitlines()) == 1, f"{title}: more than one line: {message!r}"
            assert len(message) <= _MOST_LETTERS, f"{title}: {len(message)} letters; quote less of the value"

    @promise(ENGINE)
    def test_its_problems_are_the_same_each_time(self) -> None:
        """Another wording each time would be another status each time."""
        for title, serving in odd_servings(self.most):
            first, second = self.engine.problems(serving), self.engine.problems(serving)
            assert first == second, f"{title}: {first}, then {second}"

    @promise(ENGINE)
    def test_what_it_has_no_problem_with_it_can_launch(self) -> None:
        """A plan of the right types, with scripts that bash can read."""
        for title, serving in odd_servings(self.most):
            if self.engine.problems(serving):
                continue
            try:
                plan = self.engine.launch_plan(serving)
            except Exception as error:
                raise AssertionError(f"{title}: no problem, yet launch_plan() raised {error!r}") from error
            assert list(type_problems(plan, LaunchPlan, "plan")) == [], title
            broken = [problem for node in nodes_of(plan) if (problem := bash_problem(node.script))]
            assert broken == [], f"{title}: {broken}"

    @promise(ENGINE)
    def test_it_repeats_no_secret_of_the_environment(self) -> None:
        """Problems are read by more people than Secrets are."""
        secret = "a-token-that-must-not-be-told"  # noqa: S105 - a test's own
        for title, serving in odd_servings(replace(self.most, environment={"HF_TOKEN": secret})):
            shown = [str(each) for each in self.engine.problems(serving) if secret in str(each)]
            assert shown == [], title

    def _problems(self) -> Iterator[tuple[str, FieldError]]:
        for title, serving in odd_servings(self.most):
            for problem in self.engine.problems(serving):
                yield title, problem
