"""What a container runs, as far as its text tells: the simple commands of a shell script, in words. Pure.

No shell: a variable that the container gives a value stands for that (``$(NAME)`` as Kubernetes writes it, ``$NAME``
and ``${NAME}`` in a script), all others and substitutions stay as they stand, and what cannot be split is passed over.
Good enough to see an engine with its flags, ``ray start`` and package installs; never a reason to refuse a manifest.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.container_specs import container_words, literal_environment

_SHELLS = re.compile(r"(?:.*/)?(?:ba|da|z|k)?sh")
_ENDS = frozenset(";&|\n()")
_KEYWORDS = frozenset({"do", "then", "else", "exec", "eval", "nohup", "time", "!", "{", "until", "while", "if"})
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
_NAME = "[A-Za-z_][A-Za-z0-9_]*"
_OF_KUBERNETES = re.compile(rf"\$\(({_NAME})\)")
_OF_A_SHELL = re.compile(rf"\$(?:({_NAME})|\{{({_NAME})\}})")


def simple_commands(container: ReadOnlyJson) -> Iterator[Sequence[str]]:
    """Yield what a container runs: its words, or the commands of the script that a shell is given with ``-c``."""
    variables = literal_environment(container)
    words = [_expanded(word, _OF_KUBERNETES, variables) for word in container_words(container)]
    script = shell_script(words)
    if script is None:
        yield words
    else:
        for command in _split(script):
            yield [_expanded(word, _OF_A_SHELL, variables) for word in command]


def shell_script(words: Sequence[str]) -> str | None:
    """Return the text after a shell's ``-c``, None when no shell is started."""
    if not words or not _SHELLS.fullmatch(words[0]):
        return None
    for place, word in enumerate(words[1:], 1):
        if re.fullmatch(r"-[a-z]*c[a-z]*", word):
            rest = [each for each in words[place + 1 :] if each != "--"]
            return rest[0] if rest else ""
    return None


def _expanded(word: str, form: re.Pattern[str], variables: Mapping[str, str]) -> str:
    """Return a word with the variables in it that are known."""
    return form.sub(lambda match: variables.get(match[match.lastindex or 0], match[0]), word)


def _split(script: str) -> Iterator[Sequence[str]]:
    lexer = shlex.shlex(script.replace("\\\n", " "), posix=True, punctuation_chars=";&|()\n")
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    try:
        is_comment = False
        for token in lexer:
            is_comment = (is_comment or token.startswith("#")) and "\n" not in token
            if token and set(token) <= _ENDS:
                yield from _command(words)
                words = []
            elif not is_comment:
                words.append(token)
    except ValueError:  # an open quote: what came before it is still known
        pass
    yield from _command(words)


def _command(words: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the words without keywords and assignments before them."""
    start = 0
    while start < len(words) and (words[start] in _KEYWORDS or _ASSIGNMENT.fullmatch(words[start])):
        start += 1
    if start < len(words):
        yield words[start:]
