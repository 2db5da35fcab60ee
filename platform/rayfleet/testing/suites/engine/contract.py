"""Checks of what comes through the hook: names, members, types. The registry refuses some of it, in fewer words."""

import inspect
from importlib.metadata import entry_points
from typing import get_type_hints

from rayfleet.model.engine import LaunchPlan
from rayfleet.plugin import hookspecs
from rayfleet.plugin.contracts import CONTRACT, ENTRY_POINT_GROUP, Engine, ModelFormat, contract_of
from rayfleet.plugin.registry import load
from rayfleet.plugin.shapes import plain, type_problems
from rayfleet.testing.suites.engine.promises import ENGINE, HOOKS, PLAN, promise
from rayfleet.testing.suites.engine.tested import TestedEngine

_HOOK_NAMES = frozenset(name for name in vars(hookspecs) if name.startswith("rayfleet_"))
_MOST_NAME = 40  # with a prefix and an ordinal it is still a label of Kubernetes


class ContractChecks(TestedEngine):
    """The plugin as the registry sees it, and the types of what the engine gives away."""

    @promise(HOOKS)
    def test_its_hooks_are_hooks(self) -> None:
        """Each function ``rayfleet_...`` of the plugin is a hook that exists, and has the mark ``@hookimpl``."""
        named = {name: getattr(self.plugin, name) for name in dir(self.plugin) if name.startswith("rayfleet_")}
        own = {name: member for name, member in named.items() if inspect.isroutine(member)}
        strange = sorted(own.keys() - _HOOK_NAMES)
        assert strange == [], f"{strange} are no hooks of rayfleet; there are: {', '.join(sorted(_HOOK_NAMES))}"
        unmarked = [name for name, member in own.items() if not hasattr(member, f"{hookspecs.PROJECT}_impl")]
        assert unmarked == [], f"{unmarked} lack @hookimpl, so nobody ever calls them"

    @promise(HOOKS)
    def test_it_is_written_for_this_contract(self) -> None:
        """``rayfleet_contract = 1`` in its module, as a number: another version is refused when plugins are loaded."""
        version = contract_of(self.plugin)
        assert version is not None, f"write `rayfleet_contract = {CONTRACT}` in {self.plugin.__name__}, as a number"
        assert version == CONTRACT, f"it was written for version {version}, and this rayfleet has version {CONTRACT}"

    @promise(HOOKS)
    def test_its_hook_takes_no_arguments(self) -> None:
        """It is called once, by itself, while a process is composed."""
        parameters = list(inspect.signature(self.plugin.rayfleet_engines).parameters)
        assert parameters == [], f"rayfleet_engines takes {parameters}; a hook takes nothing"

    @promise(HOOKS)
    def test_its_hook_returns_a_list_or_a_tuple(self) -> None:
        """A generator would be empty the second time, a set has no order, a single engine is not a sequence."""
        result = self.plugin.rayfleet_engines()
        assert isinstance(result, list | tuple), f"rayfleet_engines returned a {type(result).__name__}: {result!r:.80}"
        classes = [each for each in result if isinstance(each, type)]
        assert classes == [], f"{classes} are classes; return objects of them"

    @promise(HOOKS)
    def test_it_lists_no_name_twice(self) -> None:
        """The second engine of a name ends every process that loads plugins."""
        names = [engine.name for engine in self.plugin.rayfleet_engines()]
        assert len(names) == len(set(names)), f"rayfleet_engines returns two engines of one name: {names}"

    @promise(HOOKS)
    def test_no_installed_plugin_has_its_name(self) -> None:
        """Both together end every process that loads plugins."""
        module = self.plugin.__name__
        points = list(entry_points(group=ENTRY_POINT_GROUP))
        own = [point.name for point in points if point.value.partition(":")[0] == module]
        others = load(disabled=own, refuse=lambda _: None).engines
        taken = [engine.name for engine in self.plugin.rayfleet_engines() if engine.name in others]
        assert taken == [], f"another installed plugin contributes an engine of the name {taken} too: rename it"

    @promise(HOOKS)
    def test_its_name_stays_its_name(self) -> None:
        """A short word of lower-case letters, digits and dashes; manifests, labels and messages say it."""
        first, second = ([each.name for each in self.plugin.rayfleet_engines()] for _ in range(2))
        assert first == second, f"the hook calls its engines {first}, then {second}"
        assert type(self.engine.name) is str
        assert len(self.name) <= _MOST_NAME, f"{self.name!r} is longer than {_MOST_NAME} letters"
        self.engine.problems(self.most)
        assert self.engine.name == self.name

    @promise(ENGINE)
    def test_its_methods_take_what_the_contract_gives(self) -> None:
        """``problems(serving)`` and ``launch_plan(serving)``, plain methods: nobody awaits them."""
        for name in ("problems", "launch_plan"):
            method = getattr(self.engine, name)
            assert not inspect.iscoroutinefunction(method), f"{name} is async; the contract's is a plain method"
            try:
                inspect.signature(method).bind(self.most)
            except TypeError as error:
                raise AssertionError(f"{name}(serving) cannot be called: {error}") from None

    @promise(ENGINE)
    def test_its_model_format_is_one_that_sources_bring(self) -> None:
        """``ModelFormat.GGUF``, ``ModelFormat.HUGGING_FACE``, or None when the pods see to the model themselves."""
        form = self.engine.model_format
        assert form is None or isinstance(form, ModelFormat), f"model_format is {form!r}; give a ModelFormat or None"

    @promise(ENGINE)
    def test_its_attributes_are_of_their_types(self) -> None:
        """As the protocol says, every one of them."""
        hints = get_type_hints(Engine)
        wrong = [each for name, hint in hints.items() for each in type_problems(getattr(self.engine, name), hint, name)]
        assert wrong == []

    @promise(PLAN)
    def test_its_plan_is_of_the_types_of_the_contract(self) -> None:
        """To the last field: a number where a text belongs would be refused by Kubernetes, much later."""
        for serving in self.servings():
            wrong = list(type_problems(self.engine.launch_plan(serving), LaunchPlan, "plan"))
            assert wrong == [], f"on {serving.nodes} nodes: {'; '.join(wrong)}"

    @promise(PLAN)
    def test_its_plan_is_data(self) -> None:
        """All of it can be written down as JSON: it is compared, hashed and shown."""
        for plan in self.plans():
            try:
                plain(plan)
            except TypeError as error:
                raise AssertionError(f"the plan holds what is no data: {error}") from None

    @promise(PLAN)
    def test_who_holds_a_plan_cannot_change_the_next(self) -> None:
        """Each plan is its own: a mapping that the engine keeps is not handed out to be written into."""
        before = plain(self.engine.launch_plan(self.most))
        plan = self.engine.launch_plan(self.most)
        for node in (plan.head, plan.worker):
            for mapping in (node.environment, node.ray_start_params):
                if isinstance(mapping, dict):
                    mapping["changed-by-the-kit"] = "1"
        after = plain(self.engine.launch_plan(self.most))
        assert before == after, "a mapping of one plan is in the next one too: make it anew in launch_plan()"

    @promise(ENGINE)
    def test_it_leaves_the_serving_as_it_is(self) -> None:
        """Who asks owns it: controllers ask all engines of one fleet about the same object."""
        serving = self.most
        before = plain(serving)
        self.engine.problems(serving)
        self.engine.launch_plan(serving)
        assert plain(serving) == before, "problems() or launch_plan() wrote into the serving"
