"""Each check of the suite for engines can fail: an engine that is wrong in one way is caught by the check for it."""

import importlib
import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rayfleet.model.engine import EngineCommand, LaunchPlan, TrafficMetrics
from rayfleet.model.errors import FieldError, RayfleetError
from rayfleet.model.serving import Backend, Serving
from rayfleet.plugin.contracts import CONTRACT
from rayfleet.plugin.hookspecs import hookimpl
from rayfleet.testing.bad_plugins import BAD_PLUGINS, BadPlugin, BadSuite, good_source, imported_plugin
from rayfleet.testing.launching import LIMIT_SECONDS
from rayfleet.testing.suites.engine import EngineSuite
from rayfleet.testing.suites.engine.promises import checks_of
from rayfleet.testing.toy_engine import (
    TRAFFIC,
    Fault,
    Toy,
    ToySuite,
    having,
    launching,
    planning,
    probing,
    ranking,
    saying,
    scripting,
)

ROOT = Path(__file__).parents[3]
# Whose engine is a Python process: it takes more than a moment to start.
SERVED = {"a_served_engine_answers_to_its_name", "a_stream_that_runs_at_sigterm_ends_well"}
CHECKS = {check.name for check in checks_of(EngineSuite)}
COUNT = itertools.count()
NOTHING: Any = None
COMMAND = 'toy {names} --host "$POD_IP" --port 8000 {arguments}'
RANK = '--rank {rank} --meet "$head_address:$rendezvous"'
ONCE = "[ -e life ] && exit 9; touch life\n"
TWICE = "trap '[ \"$stop\" = 0 ] || exit 7; stop=1' TERM INT"


async def asked_later(serving: Serving) -> None:
    """Return nothing yet."""


def error(message: str) -> FieldError:
    return FieldError(path="spec.serving.model", message=message)


def problem(path: str, message: str) -> Fault:
    return having(problems=lambda _: (FieldError(path=path, message=message),))


def writing(plan: LaunchPlan, serving: Serving) -> LaunchPlan:
    assert isinstance(serving.environment, dict)
    serving.environment["WRITTEN"] = "1"
    return plan


NO_TRAP = saying(("trap 'stop=1' TERM INT\n", ""))
KILLS_ALL = 'kill -KILL "$timer" $family $(trees "$@") 2>/dev/null'

FAULTS: tuple[tuple[str, str, Fault], ...] = (
    ("its_plugin_contributes_it", "a name that no registry takes", having(name="Toy!")),
    ("what_it_can_do_has_no_problem", "one node", having(most_nodes=1)),
    ("its_image_and_its_ray_are_named", "no image", planning(lambda plan, _: replace(plan, image=""))),
    ("its_image_and_its_ray_are_named", "no image's name", planning(lambda plan, _: replace(plan, image="Toy 1"))),
    ("its_image_and_its_ray_are_named", "any Ray", planning(lambda plan, _: replace(plan, ray_version="2"))),
    ("the_sidecar_can_ask_it", "no root", probing(health_path="health")),
    ("the_sidecar_can_ask_it", "an address", probing(metrics_path="http://localhost/metrics")),
    ("its_series_can_be_told_to_the_sidecar", "two in one", probing(traffic=TrafficMetrics(running=("a b",)))),
    ("its_series_can_be_told_to_the_sidecar", "half a label", probing(traffic=TrafficMetrics(running=("a{b=c}",)))),
    ("its_series_can_be_told_to_the_sidecar", "steps of what", probing(traffic=TrafficMetrics(steps=("a",)))),
    ("its_ports_are_its_own", "the sidecar's", probing(port=8080)),
    ("its_ports_are_its_own", "Ray's", probing(nodes_port=6379)),
    ("its_ports_are_its_own", "the node manager's", probing(nodes_port=6380)),
    ("its_ports_are_its_own", "no port", probing(port=70000)),
    ("its_ray_cluster_is_accepted", "a number", launching(ray_start_params={"num-gpus": 1})),
    ("nothing_listens_on_every_address", "a script", saying(('"$POD_IP"', "0.0.0.0"))),
    ("nothing_listens_on_every_address", "a variable", launching(environment={"HOST": "[::]"})),
    ("it_sets_nothing_that_others_set", "a variable", launching(environment={"RAY_ADDRESS": "auto"})),
    ("it_sets_nothing_that_others_set", "a flag", launching(ray_start_params={"port": "6379"})),
    ("it_sets_nothing_that_others_set", "dashes", launching(ray_start_params={"--num-gpus": "1"})),
    ("it_writes_no_secret_down", "a variable", launching(environment={"HF_TOKEN": "x"})),
    ("it_writes_no_secret_down", "a script", scripting(lambda text, serving: f"{text}# {serving.environment}\n")),
    ("its_scripts_are_bash", "half a loop", scripting(lambda text, _: f"{text}while true; do\n")),
    ("kubernetes_leaves_its_scripts_as_they_are", "a variable", scripting(lambda text, _: f"{text}now=$(date)\n")),
    ("kubernetes_leaves_its_scripts_as_they_are", "two dollars", scripting(lambda text, _: f"{text}echo $$\n")),
    ("arguments_reach_it_unchanged", "no quotes", having(quote=str)),
    ("arguments_reach_it_unchanged", "first", having(command='toy {arguments} {names} --host "$POD_IP" --port 8000')),
    ("a_name_cannot_break_out_of_the_shell", "no quotes", having(quote=str)),
    ("a_name_cannot_break_out_of_the_shell", "double quotes", having(quote=lambda text: f'"{text}"')),
    ("its_api_is_where_the_sidecar_asks", "another port", probing(port=8001)),
    ("its_api_is_where_the_sidecar_asks", "another address", saying(('"$POD_IP"', "127.0.0.1"))),
    ("its_own_flags_are_refused_with_their_field", "taken", having(refused={})),
    ("its_own_flags_are_refused_with_their_field", "one is taken", having(refused={"--model": "x", "--host": "x"})),
    ("its_own_flags_are_refused_with_their_field", "no such field", having(path="spec.serving.arguments")),
    ("help_is_refused_with_its_field", "no such field", having(path="spec.serving.arguments")),
    ("a_drain_ends_before_the_pod_is_killed", "as long as it likes", having(checks_drain=False)),
    ("a_drain_ends_before_the_pod_is_killed", "a long end", saying(("end_limit=", "end_limit=1"))),
    ("a_drain_ends_before_the_pod_is_killed", "no drain", saying(('start_timer "$end_limit"', "start_timer 10"))),
    ("a_drain_ends_before_the_pod_is_killed", "no such field", having(path="spec.serving.arguments")),
    ("a_head_ends_with_the_status_of_the_engine", "its own", saying(('exit "$status"', "exit 1"))),
    ("an_engine_that_ends_well_by_itself_has_failed", "well", saying(('[ "$status" != 0 ] || status=1\n', ""))),
    ("a_head_ends_with_ray", "it goes on", saying(('while all_live "$ray" "$engine"', 'while all_live "$engine"'))),
    ("a_head_lets_the_engine_finish_at_sigterm", "not heard", NO_TRAP),
    ("a_head_lets_the_engine_finish_at_sigterm", "not passed on", saying(('[ -n "$timer" ] || end_engine', "break"))),
    ("a_head_lets_the_engine_finish_at_sigterm", "Ray first", saying(('family=$(trees "$engine")', 'kill "$ray"'))),
    ("a_head_kills_an_engine_that_hangs_at_sigterm", "no limit", saying(('start_timer "$end_limit"', "timer=$engine"))),
    (
        "a_head_kills_an_engine_that_hangs_at_sigterm",
        "its child lives",
        saying((KILLS_ALL, 'kill -KILL "$timer" "$@"'), ('kill -KILL $(trees "$engine")', 'kill -KILL "$engine"')),
    ),
    ("a_head_leaves_at_a_sigterm_that_comes_early", "not heard", NO_TRAP),
    ("a_head_forgets_the_address_of_its_former_life", "kept", saying(('rm -f "$temp/ray_current_cluster"', ":"))),
    ("rays_daemons_do_not_outlive_a_head", "Ray alone", saying((KILLS_ALL, 'kill -KILL "$timer" "$@"'))),
    ("rays_daemons_do_not_outlive_a_worker", "Ray alone", saying((KILLS_ALL, 'kill -KILL "$timer" "$@"'))),
    ("a_worker_ends_with_ray", "it goes on", saying(('lives "$ray" && ', ""), ('all_live "$ray" ', "all_live "))),
    ("a_worker_leaves_at_sigterm", "not heard", NO_TRAP),
    ("a_worker_gives_up_a_dead_head", "never", saying(("      break\n", ""))),
    ("a_worker_stays_with_a_head_that_lives", "never asked", saying(("if timeout 2", "if false timeout 2"))),
    ("an_image_that_lacks_a_program_is_told_which", "started", saying(("  exit 1\ndone", "done"))),
    ("an_image_that_lacks_a_program_is_told_which", "not looked for", saying(("ray toy helper", "ray toy"))),
    ("its_hooks_are_hooks", "no hook", having(members={"rayfleet_engine": print})),
    ("its_hooks_are_hooks", "no mark", having(members={"rayfleet_filters": print})),
    ("it_is_written_for_this_contract", "the next", having(members={"rayfleet_contract": CONTRACT + 1})),
    ("it_is_written_for_this_contract", "none", having(members={"rayfleet_contract": None})),
    ("it_is_written_for_this_contract", "a text", having(members={"rayfleet_contract": str(CONTRACT)})),
    ("its_hook_takes_no_arguments", "one", having(members={"rayfleet_engines": hookimpl(lambda config: [config])})),
    ("its_hook_returns_a_list_or_a_tuple", "a generator", having(hook=lambda toy: iter((toy,)))),
    ("its_hook_returns_a_list_or_a_tuple", "a set", having(hook=lambda toy: {toy})),
    ("its_hook_returns_a_list_or_a_tuple", "a class", having(hook=lambda toy: (toy, Toy))),
    ("it_lists_no_name_twice", "twice", having(hook=lambda toy: (toy, Toy()))),
    ("no_installed_plugin_has_its_name", "vllm's", having(hook=lambda toy: (toy, having(name="vllm")(Toy())))),
    ("its_name_stays_its_name", "another", having(hook=lambda toy: (toy, having(name=f"x{next(COUNT)}")(Toy())))),
    ("its_methods_take_what_the_contract_gives", "nothing", having(launch_plan=lambda: None)),
    ("its_methods_take_what_the_contract_gives", "async", having(problems=asked_later)),
    ("its_model_format_is_one_that_sources_bring", "a text", having(model_format="gguf")),
    ("its_attributes_are_of_their_types", "a number", having(model_format=7)),
    ("its_plan_is_of_the_types_of_the_contract", "a number", launching(environment={"A": 1})),
    ("its_plan_is_of_the_types_of_the_contract", "nothing", planning(lambda plan, _: replace(plan, image=NOTHING))),
    ("its_plan_is_data", "an object", launching(environment={"A": object()})),
    ("who_holds_a_plan_cannot_change_the_next", "kept", launching(environment={"A": "b"})),
    ("it_leaves_the_serving_as_it_is", "written into", planning(writing)),
    ("it_never_raises_whatever_is_asked", "raises", having(problems=lambda each: () if each.nodes < 9 else 1 / 0)),
    ("its_problems_are_a_tuple_of_field_errors", "a list", having(problems=lambda _: [])),
    ("its_problems_are_a_tuple_of_field_errors", "texts", having(problems=lambda _: ("no",))),
    ("its_problems_name_a_field_of_the_manifest", "no start", problem("serving.model", "x")),
    ("its_problems_name_a_field_of_the_manifest", "no field", problem("spec.serving.modell", "x")),
    ("its_problems_are_a_line_to_read", "two", problem("spec.serving.model", "a\nb")),
    ("its_problems_are_a_line_to_read", "none", problem("spec.serving.model", "")),
    ("its_problems_are_a_line_to_read", "a page", problem("spec.serving.model", "x" * 5000)),
    ("its_problems_are_the_same_each_time", "counted", having(problems=lambda _: (error(f"number {next(COUNT)}"),))),
    ("what_it_has_no_problem_with_it_can_launch", "raises", planning(lambda plan, serving: (plan,)[serving.nodes > 2])),
    ("it_repeats_no_secret_of_the_environment", "told", having(problems=lambda each: (error(str(each.environment)),))),
    ("its_answers_are_the_same_each_time", "counted", scripting(lambda text, _: f"{text}# {next(COUNT)}\n")),
    ("one_fleet_does_not_colour_another", "the same", having(command='toy --host "$POD_IP" --port 8000')),
    ("one_fleet_does_not_colour_another", "counted", scripting(lambda text, _: f"{text}# {next(COUNT)}\n")),
    ("threads_may_ask_it_at_once", "counted", scripting(lambda text, _: f"{text}# {next(COUNT)}\n")),
    ("its_ports_need_no_root_and_are_not_rays_to_give", "root's", probing(port=80)),
    ("its_ports_need_no_root_and_are_not_rays_to_give", "Ray's", probing(nodes_port=10500)),
    ("its_variables_and_flags_can_be_set", "a name", launching(environment={"A-B": "x"})),
    ("its_variables_and_flags_can_be_set", "a line's end", launching(environment={"A": "x\ny"})),
    ("its_variables_and_flags_can_be_set", "a flag", launching(ray_start_params={"Num_GPUs": "1"})),
    ("no_variable_of_one_node_travels", "an interface", launching(environment={"NCCL_SOCKET_IFNAME": "eth0"})),
    ("no_variable_of_one_node_travels", "devices", launching(environment={"CUDA_VISIBLE_DEVICES": "0"})),
    ("linux_and_etcd_take_its_scripts", "a long one", scripting(lambda text, _: text + "#" * 140_000)),
    ("what_brings_the_model_is_one_line_of_bash", "two", planning(lambda plan, _: replace(plan, bring="a\nb"))),
    ("what_brings_the_model_is_one_line_of_bash", "none", planning(lambda plan, _: replace(plan, bring="if"))),
    ("no_secret_comes_among_its_words", "a key", having(command=f"{COMMAND} --api-key ${{{{VLLM_API_KEY:-}}}}")),
    ("its_series_each_have_one_meaning", "two", probing(traffic=TrafficMetrics(running=("a",), waiting=("a",)))),
    ("what_grows_is_a_counter", "a gauge", probing(traffic=TrafficMetrics(served=("b",)))),
    ("its_page_can_be_read", "cut", having(page="toy_running one\n")),
    ("its_page_has_what_runs_and_what_steps", "renamed", having(page="requests_running 1\n")),
    ("its_page_says_what_its_series_are", "a counter", having(page="# TYPE toy_running counter\ntoy_running 1\n")),
    ("its_reader_knows_its_command", "nothing", having(read=lambda _: None)),
    ("its_reader_knows_its_command", "another's", having(read=lambda _: EngineCommand(engine="vllm"))),
    ("its_reader_reads_what_its_own_plan_starts", "a port", having(read=lambda _: EngineCommand(engine="toy", port=1))),
    ("its_reader_leaves_others_alone", "all", having(read=lambda _: EngineCommand(engine="toy"))),
    ("its_reader_never_raises", "a number", having(read=lambda words: int(words[-1]))),
    ("its_reader_knows_images_by_words", "nothing", having(image_lack=lambda _: None)),
    ("its_reader_knows_images_by_words", "holes of all", having(image_risks=lambda _: ("has a hole",))),
    ("its_reader_knows_images_by_words", "one text", having(image_risks=lambda _: "has a hole")),
    ("its_load_is_a_number_somewhere", "no key", probing(traffic=TRAFFIC, load_path="/load")),
    ("its_load_is_a_number_somewhere", "no root", probing(traffic=TRAFFIC, load_path="load#n")),
    ("its_load_is_a_number_somewhere", "no steps", probing(traffic=TrafficMetrics(), load_path="/load#n")),
    ("what_sleeps_can_be_woken", "never", probing(sleep_path="/sleep")),
    ("what_sleeps_can_be_woken", "no root", probing(sleep_path="sleep", wake_path="wake")),
    ("its_plan_says_how_it_spans_its_nodes", "auto", planning(lambda plan, _: replace(plan, backend=Backend.AUTO))),
    ("without_ray_each_node_has_its_rank", "none", planning(lambda plan, _: replace(plan, backend=Backend.MP))),
    ("without_ray_each_node_has_its_rank", "on Ray", planning(lambda plan, _: replace(plan, ranks=(plan.head,)))),
    ("it_declares_its_ranks", "without ranks", having(has_ranks=False)),
    ("ranks_are_told_apart", "the same", having(rank_words='--meet "$head_address:$rendezvous"')),
    ("ranks_meet_at_the_head", "no address", having(rank_words="--rank {rank} --meet $rendezvous")),
    ("ranks_meet_at_the_head", "no port", having(rank_words="--rank {rank} --meet $head_address")),
    ("arguments_reach_every_rank", "no quotes", having(quote=str)),
    ("no_secret_comes_among_the_words_of_a_rank", "a key", having(rank_words=f"{RANK} --key ${{{{HF_TOKEN}}}}")),
    ("a_rank_ends_with_the_status_of_its_engine", "its own", saying(('exit "$status"', "exit 1"))),
    ("a_rank_leaves_at_sigterm", "not heard", NO_TRAP),
    ("a_rank_kills_an_engine_that_hangs_at_sigterm", "no limit", saying(('start_timer "$end_limit"', "timer=$engine"))),
    ("a_rank_that_lacks_its_program_says_which", "started", saying(("  exit 1\ndone", "done"))),
    ("it_writes_no_secret_down", "a rank", ranking(environment={"HF_TOKEN": "x"})),
    ("nothing_listens_on_every_address", "a rank", ranking(environment={"HOST": "0.0.0.0"})),
    ("no_variable_of_one_node_travels", "a rank", ranking(environment={"NCCL_IB_HCA": "mlx5_0"})),
    ("its_scripts_are_bash", "a rank", ranking(script="while true; do\n")),
    ("its_ray_cluster_is_accepted", "a rank", ranking(ray_start_params={"num-gpus": 1})),
    ("its_reader_knows_images_by_words", "all", having(image_lack=lambda _: "lacks all")),
    ("a_head_starts_ray_and_the_engine_once", "twice", saying(("serve &\n", "serve &\nserve &\n"))),
    ("a_container_that_is_started_anew_works_again", "once", scripting(lambda text, _: f"{ONCE}{text}")),
    ("what_the_engine_writes_is_in_the_containers_log", "lost", having(command=f"{COMMAND} 2>/dev/null")),
    ("a_killed_engine_is_told_by_the_status", "1", saying(('exit "$status"', "exit 1"))),
    ("a_second_sigterm_does_not_cut_the_drain", "cut", saying(("trap 'stop=1' TERM INT", TWICE))),
    ("a_served_engine_is_healthy_where_the_sidecar_looks", "elsewhere", probing(port=8001)),
    ("a_served_engine_answers_to_its_name", "not told", having(command='toy --host "$POD_IP" --port 8000')),
    ("a_stream_that_runs_at_sigterm_ends_well", "cut", saying(('kill -TERM "$engine"', 'kill -KILL "$engine"'))),
)  # fmt: skip
FILE_CHECKS = {
    "its_answers_follow_from_the_serving_alone",
    "its_answers_do_not_follow_the_machine",
    "it_is_imported_without_its_engine",
    "its_import_changes_nothing",
    "it_prints_nothing",
    "it_asks_nobody",
    "it_answers_at_once",
    "it_keeps_nothing_of_what_it_was_asked",
}
"""What a process of its own is asked for is imported there: plugins that are files."""


def run(suite: EngineSuite, check: str, folder: Path) -> None:
    method = getattr(suite, f"test_{check}")
    method(folder) if "tmp_path" in method.__annotations__ else method()


def test_the_kit_has_sixty_checks_and_more() -> None:
    assert len(CHECKS) >= 60


def test_every_check_has_an_engine_that_fails_it() -> None:
    assert {check for check, *_ in FAULTS} | FILE_CHECKS == CHECKS
    assert {plugin.check for plugin in BAD_PLUGINS} >= FILE_CHECKS


def test_every_check_says_where_its_promise_is_written_down() -> None:
    for check in checks_of(EngineSuite):
        assert check.words, check.name
        file, _, heading = check.place.partition(": ")
        if heading:
            assert re.search(rf"^#+ {re.escape(heading)}$", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
        else:
            module, _, name = file.rpartition(".")
            assert getattr(importlib.import_module(module), name).__doc__, check.place


@pytest.mark.parametrize(
    ("check", "fault"), [(check, fault) for check, _, fault in FAULTS], ids=[f"{c}: {n}" for c, n, _ in FAULTS]
)
def test_a_faulty_engine_is_caught(check: str, fault: Fault, tmp_path: Path) -> None:
    suite = ToySuite(fault(Toy()), limit_seconds=20 if check in SERVED else 1)
    with pytest.raises((AssertionError, RayfleetError)):
        run(suite, check, tmp_path)


@pytest.mark.parametrize("check", sorted(CHECKS - FILE_CHECKS))
def test_an_engine_without_fault_passes(check: str, tmp_path: Path) -> None:
    run(ToySuite(Toy(), limit_seconds=LIMIT_SECONDS), check, tmp_path)


@pytest.mark.parametrize("plugin", [each for each in BAD_PLUGINS if each.check], ids=lambda plugin: plugin.title)
def test_a_bad_plugin_is_caught(plugin: BadPlugin, tmp_path: Path) -> None:
    with imported_plugin(plugin.source, tmp_path) as module, pytest.raises((AssertionError, RayfleetError)):
        run(BadSuite(module), plugin.check, tmp_path)


@pytest.mark.parametrize("check", sorted({each.check for each in BAD_PLUGINS if each.check}))
def test_a_plugin_without_fault_passes(check: str, tmp_path: Path) -> None:
    with imported_plugin(good_source(), tmp_path) as module:
        suite = BadSuite(module)
        suite.limit_seconds = LIMIT_SECONDS
        run(suite, check, tmp_path)


def test_there_are_fifteen_bad_plugins_and_more() -> None:
    assert len({plugin.source for plugin in BAD_PLUGINS}) >= 15
