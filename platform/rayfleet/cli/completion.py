"""``completion``: what makes bash, zsh and fish complete our commands; and the same for ``kubectl rayfleet``.

The scripts are click's: they ask ``rayfleet`` itself at each Tab. kubectl asks the program ``kubectl_complete-NAME`` of
a plugin for lines ``WORD[<Tab>HELP]`` and a last one ``:DIRECTIVE``. Source: kubectl, "Extend kubectl with plugins",
and ``ShellCompDirective`` of spf13/cobra.
"""

import sys
from collections.abc import Iterator, Sequence

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

PROGRAM = "rayfleet"
VARIABLE = "_RAYFLEET_COMPLETE"
"""Set by the scripts; click derives the name from the program's."""
_ONLY_WORDS, _FILES, _FOLDERS = 4, 0, 16
_DIRECTIVES = {"file": _FILES, "dir": _FOLDERS}


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print what makes a shell complete commands, options, kinds and the names of live objects.

    `kubectl rayfleet` completes by kubectl's own completion, once `kubectl_complete-rayfleet` is on the PATH.

    \b
    eval "$(rayfleet completion bash)"           in ~/.bashrc
    eval "$(rayfleet completion zsh)"            in ~/.zshrc
    rayfleet completion fish > ~/.config/fish/completions/rayfleet.fish
    """
    from rayfleet.cli.main import rayfleet_group

    completing = get_completion_class(shell)
    if completing is None:
        raise click.UsageError(f"click knows no completion for {shell}")
    click.echo(completing(rayfleet_group, {}, PROGRAM, VARIABLE).source())


def kubectl_main() -> None:
    """Answer kubectl: the arguments are the words after ``kubectl rayfleet``, the last one being written."""
    for line in kubectl_lines(sys.argv[1:]):
        click.echo(line)


def kubectl_lines(words: Sequence[str]) -> Iterator[str]:
    """Yield what kubectl wants to be told of the words."""
    from rayfleet.cli.main import rayfleet_group

    *before, incomplete = words or [""]
    offered = ShellComplete(rayfleet_group, {}, PROGRAM, VARIABLE).get_completions(before, incomplete)
    yield from (_line(item) for item in offered if item.type == "plain")
    yield f":{next((_DIRECTIVES[item.type] for item in offered if item.type in _DIRECTIVES), _ONLY_WORDS)}"


def _line(item: CompletionItem) -> str:
    return f"{item.value}\t{item.help}" if item.help else str(item.value)
