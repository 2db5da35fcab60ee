"""``plugins``: which are here and what they bring, a new one to start from, and whether one keeps its contract.

A plugin is loaded alone, so that what is wrong with one does not hide another. The kit runs in a process of its own:
what a plugin does there, it does to that process.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict

import click

from rayfleet.cli.plugin_words import Verdict, info_lines, list_rows, loaded_alone, points_here
from rayfleet.cli.target import run
from rayfleet.model.errors import PluginError, WrongUse

_KIT = "rayfleet.testing.suites.check"


@click.group("plugins")
def plugins_command() -> None:
    """List, describe, make and check plugins.

    A plugin is a Python package with an entry point in the group rayfleet.plugins; pip installs it, and every process
    of rayfleet finds it. RAYFLEET_DISABLE_PLUGINS=NAME,NAME leaves some out.

    \b
    rayfleet plugins new demo        write a plugin that passes
    cd demo && pytest                hold it to the contract
    rayfleet plugins check .         the same, as a table
    pip install -e . && rayfleet plugins list
    """


@plugins_command.command("list")
@run
async def list_command() -> int:
    """List the installed plugins: their package, what they bring, and what is wrong with one that cannot be used.

    Exit code 1: one of them cannot be used.

    \b
    rayfleet plugins list
    """
    from rayfleet.cli.tables import print_columns

    plugins = await asyncio.to_thread(lambda: [loaded_alone(point) for point in points_here()])
    print_columns(await asyncio.to_thread(list_rows, plugins))
    for plugin in plugins:
        for problem in plugin.problems:
            click.echo(f"\n{problem}", err=True)
    return 1 if any(plugin.problems for plugin in plugins) else 0


@plugins_command.command("info")
@click.argument("name")
@run
async def info_command(name: str) -> int:
    """Describe one installed plugin: package, file and its digest, and each thing that it brings.

    \b
    rayfleet plugins info vllm
    """
    points = {point.name: point for point in await asyncio.to_thread(points_here)}
    if name not in points:
        from rayfleet.manifest.checking import did_you_mean

        raise PluginError(
            f"no plugin is called {name!r}{did_you_mean(name, list(points))}",
            way_out=f"There are: {', '.join(points) or 'none'}.",
        )
    plugin = await asyncio.to_thread(loaded_alone, points[name])
    click.echo("\n".join(await asyncio.to_thread(lambda: list(info_lines(plugin)))))
    return 1 if plugin.problems else 0


@plugins_command.command("new")
@click.argument("name")
@click.option("-d", "--directory", default="", help="Where to write it; a folder of its name when absent.")
@run
async def new_command(name: str, directory: str) -> int:
    """Write a plugin with an engine called NAME, its test, and what pip needs. Needs no network.

    Its tests pass as they stand; then make the engine yours in rayfleet_NAME/plugin.py.

    \b
    rayfleet plugins new demo && cd demo && pytest
    """
    from rayfleet.cli.plugin_template import write_template

    for path in await asyncio.to_thread(write_template, name, directory or name):
        click.echo(str(path))
    click.echo(f"\nNext: cd {directory or name} && pytest", err=True)
    return 0


@plugins_command.command("check")
@click.argument("target", default=".")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Form of the answer.",
)
@click.option("--only", "names", multiple=True, metavar="CHECK", help="One check, by its name; may be repeated.")
@click.option("--all", "is_whole", is_flag=True, help="Show the checks that were held or are off too.")
@run
async def check_command(target: str, output: str, names: tuple[str, ...], is_whole: bool) -> int:
    """Hold an engine to its contract, and say of each broken promise what is wrong and where it is written down.

    TARGET is a folder or a file with a subclass of EngineSuite (`rayfleet plugins new` writes one), or the name of an
    engine that is installed. Of the latter only its plugin is known: it is tried with programs that stand for its own,
    on one node, or on two where it spans nodes without Ray, and checks that need to know more are off.

    Exit code 1: a promise is broken; 2: there is nothing to check.

    \b
    rayfleet plugins check .
    rayfleet plugins check tests/test_demo.py --all
    rayfleet plugins check demo -o json
    rayfleet plugins check demo --only "it answers at once"
    """
    words = (target, *(name.strip().replace(" ", "_") for name in names))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", _KIT, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output_text, error_text = await process.communicate()
    facts = _facts(output_text.decode(errors="replace"))
    verdict = Verdict.of(facts, process.returncode or 0, error_text.decode(errors="replace"))
    if verdict.error:
        raise WrongUse(verdict.error)
    if output == "json":
        click.echo(json.dumps([asdict(check) for check in verdict.checks], indent=2))
    else:
        click.echo("\n".join(verdict.lines(is_whole=is_whole)))
    return 1 if verdict.broken else 0


def _facts(text: str) -> Iterator[dict[str, object]]:
    """Yield the kit's lines; a plugin that prints in between has lines of its own."""
    for line in text.splitlines():
        try:
            fact = json.loads(line)
        except ValueError:
            continue
        if isinstance(fact, dict):
            yield fact
