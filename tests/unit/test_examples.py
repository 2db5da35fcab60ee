"""Each example is whole in its own folder, for whoever reads or copies one; what is the same in all stays the same."""

from pathlib import Path

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/"))


def test_each_example_has_a_manifest_a_check_and_a_word_about_both() -> None:
    files = {example.name: {path.name for path in example.iterdir() if path.is_file()} for example in EXAMPLES}
    assert files == {example.name: {"README.md", "check.py", "fleet.yaml"} for example in EXAMPLES}


def test_all_ask_the_same_question_in_the_same_way() -> None:
    """A copy and no import: ``python check.py`` needs nothing beside it."""
    assert len({(example / "check.py").read_text(encoding="utf-8") for example in EXAMPLES}) == 1
