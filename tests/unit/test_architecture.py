"""The architecture names places that exist: each row of "Where do I put ...?" can be followed."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PLATFORM, GATEWAY = ROOT / "platform" / "rayfleet", ROOT / "gateway" / "rayfleet_gateway"
STARTS = (ROOT, PLATFORM, PLATFORM / "local" / "apiserver", GATEWAY)


def places(text: str) -> set[str]:
    """Return the files and folders in backticks; ``a/{b,c}/`` is a/b/ and a/c/, what follows a name is left out."""
    marked = (word.partition(":")[0].split()[0] for word in re.findall(r"`([^`\n]+)`", text))
    named = {word for word in marked if "/" in word and re.fullmatch(r"[\w./{},-]+", word) and "NAME" not in word}
    return {place for word in named for place in expanded(word)}


def expanded(word: str) -> list[str]:
    before, brace, rest = word.partition("{")
    if not brace:
        return [word]
    choices, _, after = rest.partition("}")
    return [f"{before}{choice.strip()}{after}" for choice in choices.split(",")]


def test_every_place_that_the_architecture_names_is_there() -> None:
    missing = {place for place in places(TEXT) if not any((start / place).exists() for start in STARTS)}
    assert missing == set()


def test_there_are_ten_answers_to_where_do_i_put() -> None:
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", TEXT.partition("## Where do I put")[2], re.MULTILINE)[2:]
    changes = " ".join(change for change, _ in rows)
    asked = ("an engine", "a scorer", "a controller", "a write", "a fact of a pod", "a CLI verb", "a built-in kind")
    assert [each for each in (*asked, "a metric", "a condition", "a golden") if each not in changes] == []
    assert [change for change, files in rows if "`" not in files] == []
