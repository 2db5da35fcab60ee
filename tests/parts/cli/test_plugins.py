"""``rayfleet plugins``: what it lists, what a new plugin is, and what a check says of a good and of a bad one."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rayfleet.cli.main import rayfleet_group
from rayfleet.testing.bad_plugins import BAD_PLUGINS, BadPlugin, good_source
from rayfleet.testing.suites.engine import EngineSuite
from rayfleet.testing.suites.engine.promises import checks_of

# What only a declaration switches on.
OFF = {check.name for check in checks_of(EngineSuite) if check.needs not in {"", "sets_flags"}}
SUITE = """
from rayfleet.testing.bad_plugins import BadSuite
import rayfleet_bad_plugin

class TestBad(BadSuite):
    plugin = rayfleet_bad_plugin
    limit_seconds = 60

    def __init__(self):
        super().__init__(rayfleet_bad_plugin)
"""


def rayfleet(*arguments: str) -> Result:
    return CliRunner().invoke(rayfleet_group, ["plugins", *arguments])


def test_the_list_says_what_each_plugin_brings() -> None:
    result = rayfleet("list")
    assert result.exit_code == 0
    lines = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert {"NAME", "llamacpp", "models", "openai", "vllm"} <= set(lines)
    assert lines["vllm"].split(maxsplit=5)[3:] == [
        "1",
        "ok",
        "engine vllm, local environment vllm-cpu, command reader vllm",
    ]


def test_a_disabled_plugin_is_shown_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYFLEET_DISABLE_PLUGINS", "vllm")
    assert [line.split()[4] for line in rayfleet("list").stdout.splitlines() if line.startswith("vllm")] == ["disabled"]


def test_info_says_where_a_plugin_comes_from() -> None:
    result = rayfleet("info", "vllm")
    assert result.exit_code == 0
    for words in ("Contract:  1", "Module:    rayfleet_vllm.plugin", "rayfleet_vllm/plugin.py", "SHA-256:", "engine"):
        assert words in result.stdout


def test_a_plugin_of_another_contract_is_shown_with_the_way_out_and_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = next(plugin for plugin in BAD_PLUGINS if plugin.title == "was written for another contract")
    install(tmp_path, "zoo_old", bad.source, monkeypatch)
    result = rayfleet("list")
    assert result.exit_code == 1
    rows = {line.split()[0]: line.split()[3:] for line in result.stdout.splitlines()}
    assert (rows["zoo_old"], rows["models"][:2]) == (["2", "broken", "-"], ["1", "ok"])
    assert (
        "plugin 'zoo_old' was written for version 2 of the contract, and this rayfleet has version 1" in result.stderr
    )
    assert "Install a newer rayfleet, or an older release of it, or go on without it" in result.stderr
    info = rayfleet("info", "zoo_old")
    assert (info.exit_code, "Contract:  2" in info.stdout, "Brings:\n  nothing" in info.stdout) == (1, True, True)


def test_info_of_a_name_that_is_near_says_so() -> None:
    result = rayfleet("info", "vlm")
    assert result.exit_code == 1
    assert 'did you mean "vllm"?' in result.stderr


@pytest.mark.parametrize("name", ["Demo", "1st", "a b", "../x", "-x", "x" * 31, ""])
def test_what_is_no_name_is_refused_and_nothing_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert rayfleet("new", "--", name).exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    result = rayfleet("new", "demo", "--directory", str(tmp_path))
    assert result.exit_code == 1
    assert "exists already" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_new_plugin_passes_its_tests_as_it_stands(tmp_path: Path) -> None:
    """As its author would do it: with pytest, in its folder, with nothing installed."""
    folder = tmp_path / "demo"
    assert rayfleet("new", "my-demo", "--directory", str(folder)).exit_code == 0
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "my-demo" in (folder / "rayfleet_my_demo" / "plugin.py").read_text()


def test_a_check_says_what_is_broken_and_where_the_promise_stands(tmp_path: Path) -> None:
    bad = next(plugin for plugin in BAD_PLUGINS if plugin.title == "never ends")
    result = checked(tmp_path, bad.source)
    assert result.exit_code == 1
    assert "it answers at once" in result.stdout
    assert "It stands in rayfleet.plugin.contracts.Engine." in result.stdout
    assert "0 held, 1 broken, 0 off" in result.stdout


def test_a_check_of_a_plugin_that_cannot_be_imported_says_so(tmp_path: Path) -> None:
    result = checked(tmp_path, next(plugin for plugin in BAD_PLUGINS if not plugin.check).source)
    assert result.exit_code == 2
    assert "libcuda.so.1 is not here" in result.stderr


def test_a_check_of_nothing_says_so(tmp_path: Path) -> None:
    result = rayfleet("check", str(tmp_path))
    assert result.exit_code == 2
    assert "no subclass of EngineSuite" in result.stderr


def test_a_check_of_a_good_plugin_holds(tmp_path: Path) -> None:
    result = checked(tmp_path, good_source(), "-o", "json")
    results = {check["check"]: check["result"] for check in json.loads(result.stdout)}
    assert {name for name, each in results.items() if each == "broken"} == set()
    assert len(results) >= 60
    assert results["its_page_can_be_read"] == "off"


# Of these nothing can be asked, and the words say why.
NOT_ASKED = {
    "raises at import": "libcuda.so.1 is not here",
    "raises in its hook": "no licence",
    "misspells its hook": "plugin 'zoo_bad' contributes no engine",
}


@pytest.mark.parametrize("plugin", BAD_PLUGINS, ids=lambda plugin: plugin.title)
def test_each_bad_plugin_is_caught_by_its_name_alone(
    plugin: BadPlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is installed, with nothing that its author says of it."""
    install(tmp_path, "zoo_bad", plugin.source, monkeypatch)
    result = rayfleet("check", "zoo_bad", "--only", plugin.check or "it_answers_at_once")
    if plugin.title in NOT_ASKED:
        assert (result.exit_code, NOT_ASKED[plugin.title] in result.stderr) == (2, True), result.output
    else:
        assert (result.exit_code, "0 held, 1 broken, 0 off" in result.stdout) == (1, True), result.output
        assert plugin.check.replace("_", " ") in result.stdout


def test_an_installed_plugin_without_fault_holds_by_its_name_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "zoo_good", good_source(), monkeypatch)
    result = rayfleet("check", "zoo_good", "-o", "json")
    checks = {check["check"]: check["result"] for check in json.loads(result.stdout)}
    assert ([name for name, each in checks.items() if each == "broken"], result.exit_code) == ([], 0)
    assert {name for name, each in checks.items() if each == "off"} == set(OFF)


@pytest.mark.parametrize("engine", ["llamacpp", "sglang", "trtllm", "vllm"])
def test_ranks_of_our_own_engines_are_checked_by_their_names_alone(engine: str) -> None:
    names = ("it_declares_its_ranks", "ranks_are_told_apart", "a_rank_leaves_at_sigterm")
    result = rayfleet("check", engine, *(word for name in names for word in ("--only", name)))
    spans = engine in {"sglang", "vllm"}  # by one program; the others need to be told more, or span none so
    assert (result.exit_code, result.stdout.strip()) == (
        0,
        f"{3 if spans else 1} held, 0 broken, {0 if spans else 2} off",
    )


def test_an_engine_whose_arguments_are_its_command_is_tried_with_that_of_its_module() -> None:
    result = rayfleet("check", "openai", "-o", "json")
    checks = {check["check"]: check["result"] for check in json.loads(result.stdout)}
    assert ([name for name, each in checks.items() if each == "broken"], result.exit_code) == ([], 0)
    own = {check.name for check in checks_of(EngineSuite) if check.needs == "sets_flags"}
    assert {name for name, each in checks.items() if each == "off"} == OFF | own


def test_an_engine_that_refuses_the_plainest_fleet_is_not_called_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody said what it takes, so nothing was tried."""
    wants = "if not serving.arguments:\n            return (FieldError(path='spec.serving.args', message='name one'),)"
    source = good_source().replace("        return tuple(flag", f"        {wants}\n        return tuple(flag")
    install(tmp_path, "zoo_wants", source, monkeypatch)
    result = rayfleet("check", "zoo_wants")
    assert result.exit_code == 2
    for words in ("refuses the plainest fleet", "spec.serving.args: name one", "rayfleet_sample_args ="):
        assert words in result.stderr


def test_an_engine_that_knows_its_arguments_is_tried_with_those_of_its_module() -> None:
    names = ("arguments_reach_it_unchanged", "its_own_flags_are_refused_with_their_field")
    result = rayfleet("check", "llamacpp", *(word for name in names for word in ("--only", name)))
    assert (result.exit_code, result.stdout.strip()) == (0, "2 held, 0 broken, 0 off")


def test_a_check_of_an_engine_that_is_not_there_says_so_in_words_alone() -> None:
    result = rayfleet("check", "nosuch")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: 'nosuch' is neither a file nor an engine of an installed plugin;")


def test_a_check_that_is_not_there_says_so() -> None:
    result = rayfleet("check", "vllm", "--only", "it answers at onc")
    assert result.exit_code == 2
    assert 'did you mean "it_answers_at_once"?' in result.stderr


def install(folder: Path, name: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a plugin on the path, of this process and of those that it starts, as pip would."""
    (folder / f"{name}.py").write_text(source, encoding="utf-8")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[rayfleet.plugins]\n{name} = {name}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.invalidate_caches()


def checked(folder: Path, source: str, *options: str) -> Result:
    (folder / "rayfleet_bad_plugin.py").write_text(source, encoding="utf-8")
    (folder / "pyproject.toml").touch()
    (folder / "test_bad.py").write_text(SUITE, encoding="utf-8")
    return rayfleet("check", str(folder / "test_bad.py"), *options)
