"""``rayfleet plugins new`` writes the very plugin that is kept here, and its own lines are thirty at most."""

from pathlib import Path

from rayfleet.cli.plugin_template import rendered

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "platform" / "rayfleet" / "cli" / "plugin_template"
PLUGIN = TEMPLATE / "plugin.py.txt"


def test_the_template_is_the_example_plugin_and_its_test() -> None:
    example, suite = ROOT / "plugins" / "rayfleet_example" / "plugin.py", ROOT / "tests/parts/example/test_suite.py"
    assert PLUGIN.read_text(encoding="utf-8") == example.read_text(encoding="utf-8")
    assert (TEMPLATE / "test_plugin.py.txt").read_text(encoding="utf-8") == suite.read_text(encoding="utf-8")


def test_a_first_plugin_has_thirty_lines_at_most() -> None:
    """Without blank ones."""
    lines = [line for line in PLUGIN.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= 30, len(lines)


def test_the_tutorial_shows_what_is_written() -> None:
    tutorial = (ROOT / "docs" / "first-plugin.md").read_text(encoding="utf-8")
    assert rendered("demo")["rayfleet_demo/plugin.py"] in tutorial


def test_a_name_with_dashes_is_a_module_and_a_class() -> None:
    texts = rendered("my-engine")
    assert "class MyEngine:" in texts["rayfleet_my_engine/plugin.py"]
    assert 'my-engine = "rayfleet_my_engine.plugin"' in texts["pyproject.toml"]
    assert [path for path in texts if "example" in path] == []
    assert [path for path, text in texts.items() if "xample" in text] == []
