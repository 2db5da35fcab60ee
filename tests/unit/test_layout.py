"""What every file keeps to: the traps of the layout, sizes, who reads the environment, and where facts are read.

The top-level folders are source roots, not packages. The numbers are style.md's; each exception has its reason beside
it. Run as a program, it prints the figures that are held (`make check` does).
"""

import ast
import gc
import re
import sys
import sysconfig
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import get_args

import pytest

from rayfleet.planning.writes import Action

ROOT = Path(__file__).parents[2]
SOURCE_ROOTS = ("platform", "gateway", "runtime_sidecar", "plugins")
FOLDERS = (*SOURCE_ROOTS, "tests", "examples")
MOST_LINES, MOST_COLUMNS, MOST_FUNCTION_LINES = 400, 120, 40

# By file and name, with what makes them longer: wiring may be, nothing is.
LONG_FUNCTIONS: dict[str, str] = {}
# Beside settings.py, which may; what each does with it.
ENVIRONMENT_READERS = {
    "rayfleet/testing/machine.py": "hands its own to commands under test",
    "rayfleet/testing/vllm_cpu/shim/vllm_ray_cpu/__init__.py": "runs inside vLLM, which asks it what it is",
    "rayfleet_llamacpp/driver.py": "hands its own to decode_options",
    "rayfleet/testing/suites/engine/asked.py": "sees whether a plugin changed it",
    "rayfleet/plugin/ray_watch.py": "runs as one file in an image without rayfleet",
}
# Who takes times, quantities or owners apart beside rayfleet.objects.
FACT_PARSERS = {
    "rayfleet/local/apiserver/grammar/formats.py": "whether a text is a date, for schemas that ask",
    "rayfleet/local/apiserver/grammar/names.py": "what the server says of wrong owners",
    "rayfleet/local/apiserver/writes/writing.py": "a write that does not speak of owners keeps them",
}
# The project's former words for whatever came of a look; a name says what the thing is.
EMPTY_NAMES = frozenset({"found", "wanted", "said", "told"})
LOOPS_AND_PROCESSES = frozenset({"asyncio", "aiohttp", "socket", "subprocess", "threading", "multiprocessing"})
# What a module that calls itself pure does not import; pathlib and http name things too (a path, a status).
EFFECTS = LOOPS_AND_PROCESSES | {"logging", "os", "random", "secrets", "shutil", "sqlite3", "tempfile", "time", "uuid"}
# Readings of an object by a literal key (``pod["metadata"]``, ``spec.get("replicas")``), by package. Rooms that know
# objects from inside have as many as they need; elsewhere facts come from rayfleet.objects, and the numbers only fall.
ROOMS_OF_OBJECTS = frozenset(
    {
        "rayfleet.objects",
        "rayfleet.manifest",
        "rayfleet.local.apiserver",
        "rayfleet.local.kuberay",
        "rayfleet_llamacpp",
        "rayfleet_models",
        "rayfleet_sglang",
        "rayfleet_trtllm",
        "rayfleet_vllm",
        "rayfleet_example",
        "rayfleet_openai",
    }
)
KEY_READS = {
    "rayfleet.cli": 41,
    "rayfleet.controllers": 2,
    "rayfleet.deploy": 7,
    "rayfleet.kube": 67,
    "rayfleet.local.endpoints": 40,
    "rayfleet.local.garbage": 12,
    "rayfleet.local.node": 130,
    "rayfleet.local.supervisor": 10,
    "rayfleet.local.up": 22,
    "rayfleet.planning": 9,
    "rayfleet.plugin": 18,
    "rayfleet.reconciling": 14,
    "rayfleet.testing": 148,
    "rayfleet_gateway": 22,
    "rayfleet_sidecar": 21,
}


@pytest.mark.parametrize("root", SOURCE_ROOTS)
def test_a_source_root_holds_no_module_of_its_own(root: str) -> None:
    assert [path.name for path in (ROOT / root).glob("*.py")] == []


def test_the_standard_library_keeps_its_platform_module() -> None:
    """As an interpreter that is started in the repository's root would find it."""
    found = PathFinder.find_spec("platform", [str(ROOT), sysconfig.get_path("stdlib")])
    assert found is not None
    assert found.origin is not None, "platform/ hides the standard library's module"
    assert Path(found.origin).name == "platform.py"


def test_nothing_is_imported_by_the_name_of_a_source_root() -> None:
    wrong = [
        f"{name}:{node.lineno}"
        for name, tree in trees(*FOLDERS)
        for node in walked(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for module in imported(node)
        if module.split(".")[0] in {"gateway", "runtime_sidecar", "plugins"} or module.startswith("platform.")
    ]
    assert wrong == []


def test_files_and_lines_keep_to_their_size() -> None:
    lines = {name: (ROOT / name).read_text(encoding="utf-8").splitlines() for name, _ in trees(*FOLDERS)}
    assert [f"{name}: {len(text)} lines" for name, text in lines.items() if len(text) > MOST_LINES] == []
    assert long_lines() == []


def test_functions_keep_to_their_size() -> None:
    assert long_functions() == set(LONG_FUNCTIONS)


def test_a_plan_writes_with_five_verbs_whatever_the_kind() -> None:
    """A sixth would be matched by executor, transcripts and Roles; a reason to write is a named constructor."""
    assert verbs() == ["Create", "CreateTogether", "Merge", "Delete", "Replace"]


def test_a_name_says_what_the_thing_is() -> None:
    empty = [
        f"{name}:{node.lineno}"
        for name, tree in trees(*SOURCE_ROOTS)
        for node in walked(tree)
        if (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in EMPTY_NAMES)
        or (isinstance(node, ast.arg) and node.arg in EMPTY_NAMES)
    ]
    assert empty == []


def test_every_module_says_what_it_is() -> None:
    assert [name for name, tree in trees(*FOLDERS) if not ast.get_docstring(tree)] == []


def test_the_environment_is_read_in_settings() -> None:
    readers = {
        without_root(name)
        for name, tree in trees(*SOURCE_ROOTS)
        if Path(name).name != "settings.py" and any(reads_environment(node) for node in walked(tree))
    }
    assert readers == set(ENVIRONMENT_READERS)


def test_every_process_logs_in_one_way() -> None:
    """A format of its own would lose the facts of ``extra``."""
    wrong = [
        f"{name}:{node.lineno}"
        for name, tree in trees(*SOURCE_ROOTS)
        for node in walked(tree)
        if isinstance(node, ast.Attribute) and node.attr == "basicConfig"
    ]
    assert [place.partition(":")[0] for place in wrong] == ["platform/rayfleet/logs.py"]


def test_a_unit_test_needs_no_loop_no_socket_and_no_process() -> None:
    """Such a test belongs to tests/parts."""
    wrong = [
        f"{name}:{node.lineno}"
        for name, tree in trees("tests/unit")
        for node in walked(tree)
        if isinstance(node, ast.AsyncFunctionDef)
        or (isinstance(node, ast.Import | ast.ImportFrom) and roots_of(node) & LOOPS_AND_PROCESSES)
    ]
    assert wrong == []


def test_a_module_that_calls_itself_pure_is() -> None:
    wrong = [
        f"{name}:{node.lineno}: {', '.join(sorted(effects))}"
        for name, tree in trees(*SOURCE_ROOTS)
        if re.search(r"\bPure\b(?! but)", ast.get_docstring(tree) or "")
        for node in walked(tree)
        if isinstance(node, ast.Import | ast.ImportFrom) and (effects := roots_of(node) & EFFECTS)
    ]
    assert wrong == []


def test_a_json_alias_is_defined_once() -> None:
    """Json is ours to change, ReadOnlyJson is read; a third name would mean one of the two, or neither."""
    assert json_aliases() == ["rayfleet/model/json.py: Json", "rayfleet/model/json.py: ReadOnlyJson"]


def test_times_quantities_and_owners_are_parsed_in_one_place() -> None:
    assert parsers_outside_objects() == set(FACT_PARSERS)


def test_facts_of_objects_are_read_in_their_rooms() -> None:
    reads: Counter[str] = Counter()
    for name, tree in trees(*SOURCE_ROOTS):
        reads[package_of(name)] += sum(1 for node in walked(tree) if reads_a_literal_key(node))
    differences = [
        f"{package} fell to {count}: write it down"
        if count < KEY_READS.get(package, 0)
        else f"{package} rose from {KEY_READS.get(package, 0)} to {count}: read the fact through rayfleet.objects"
        for package, count in sorted((reads + Counter(dict.fromkeys(KEY_READS, 0))).items())
        if package not in ROOMS_OF_OBJECTS and count != KEY_READS.get(package, 0)
    ]
    assert differences == []


def test_a_part_of_the_product_is_named_wherever_parts_are() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    parts = {Path(package).name for package in project["hatch"]["build"]["targets"]["wheel"]["packages"]}
    assert set(project["importlinter"]["root_packages"]) == parts
    apart, core = project["importlinter"]["contracts"][0]["layers"]
    assert {*apart.split(" | "), core} == parts
    assert {path.name for root in SOURCE_ROOTS for path in (ROOT / root).iterdir() if path.is_dir()} == parts


def figures() -> str:
    """Return what is held here, in numbers; each has its test above."""
    return (
        f"{len(json_aliases())} JSON aliases, {len(parsers_outside_objects() - set(FACT_PARSERS))} parsers of times,"
        f" quantities or owners outside rayfleet.objects ({len(FACT_PARSERS)} exceptions with a reason),"
        f" {len(verbs())} action classes, {len(long_functions() - set(LONG_FUNCTIONS))} functions over"
        f" {MOST_FUNCTION_LINES} lines ({len(LONG_FUNCTIONS)} exceptions), {len(long_lines())} lines over"
        f" {MOST_COLUMNS} columns"
    )


def json_aliases() -> list[str]:
    return [
        f"{without_root(name)}: {ast.unparse(target)}"
        for name, tree in trees(*FOLDERS)
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and is_any_mapping(node.value)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]


def parsers_outside_objects() -> set[str]:
    return {
        without_root(name)
        for name, tree in trees(*SOURCE_ROOTS)
        if package_of(name) not in {"rayfleet.objects", "rayfleet.testing"}
        and any(parses_a_fact(node) for node in walked(tree))
    }


def verbs() -> list[str]:
    return [each.__name__ for each in get_args(Action)]


def long_functions() -> set[str]:
    return {
        f"{without_root(name)}:{node.name}"
        for name, tree in trees(*FOLDERS)
        for node in walked(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MOST_FUNCTION_LINES
    }


def long_lines() -> list[str]:
    return [
        f"{name}:{number}"
        for name, _ in trees(*FOLDERS)
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > MOST_COLUMNS
    ]


def trees(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield name (from the root) and syntax tree of each Python file."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            yield name, parsed(name)


@cache
def parsed(name: str) -> ast.Module:
    with without_garbage():
        return ast.parse((ROOT / name).read_text(encoding="utf-8"))


@cache
def walked(tree: ast.Module) -> tuple[ast.AST, ...]:
    """Return all nodes of a file: a walk costs more than every look at what it comes by."""
    with without_garbage():
        return tuple(ast.walk(tree))


@contextmanager
def without_garbage() -> Iterator[None]:
    """Look for no garbage while trees are made, which stay: half the work was looking at them again and again."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def imported(node: ast.Import | ast.ImportFrom) -> Sequence[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module]
        case _:
            return []


def roots_of(node: ast.Import | ast.ImportFrom) -> set[str]:
    return {module.split(".")[0] for module in imported(node)}


def without_root(name: str) -> str:
    """Return a file's name as an import would have it; that of a test or an example as it is."""
    root, _, rest = name.partition("/")
    return rest if root in SOURCE_ROOTS else name


def package_of(name: str) -> str:
    """Return the package whose readings are counted together: two levels of rayfleet, three of rayfleet.local."""
    folders = Path(without_root(name)).parent.parts
    return ".".join(folders[: 3 if folders[:2] == ("rayfleet", "local") else 2 if folders[0] == "rayfleet" else 1])


def reads_environment(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "environb" | "getenv"):
            return True
        case ast.ImportFrom(module="os", names=names):
            return any(alias.name in {"environ", "environb", "getenv"} for alias in names)
        case _:
            return False


def reads_a_literal_key(node: ast.AST) -> bool:
    match node:
        case ast.Subscript(value=ast.Name(id=name)) if name[0].isupper():
            return False  # a type, with another one in quotes
        case ast.Call(func=ast.Attribute(attr="get", value=ast.Attribute(attr="joined") | ast.Name(id="joined"))):
            return False  # a header of a request
        case ast.Subscript(slice=ast.Constant(value=str()), ctx=ast.Load()):
            return True
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=str()), *_]):
            return True
        case _:
            return False


def parses_a_fact(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(attr="strftime" | "strptime" | "fromisoformat"):
            return True
        case ast.ImportFrom(module="fractions" | "decimal"):
            return True
        case ast.Subscript(slice=ast.Constant(value="ownerReferences"), ctx=ast.Load()):
            return True
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value="ownerReferences"), *_]):
            return True
        case _:
            return False


def is_any_mapping(node: ast.AST | None) -> bool:
    """Whether an expression is ``dict[str, Any]`` or ``Mapping[str, Any]``, by whatever name Any and Mapping come."""
    match node:
        case ast.Subscript(value=kind, slice=ast.Tuple(elts=[ast.Name(id="str"), value])):
            return last_name(kind) in {"dict", "Dict", "Mapping", "MutableMapping"} and last_name(value) == "Any"
        case _:
            return False


def last_name(node: ast.AST) -> str:
    return ast.unparse(node).rpartition(".")[2]


if __name__ == "__main__":
    sys.stdout.write(f"layout: {figures()}\n")
