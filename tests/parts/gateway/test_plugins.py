"""The gateway serves with the plugins that can be used, and tells of the others."""

import importlib
import logging
from pathlib import Path

import pytest

from rayfleet.model.errors import SettingsError
from rayfleet_gateway.state.plugins import load_profiles

BAD = "raise ImportError('no such engine')"
GOOD = """
from rayfleet.plugin.hookspecs import hookimpl

rayfleet_contract = 1

class Even:
    name = "even"

    def score(self, request, endpoints):
        return [1.0] * len(endpoints)

@hookimpl
def rayfleet_scorers():
    return (Even(),)
"""


def installed(folder: Path, name: str, code: str) -> None:
    """Write a package with an entry point, as pip would."""
    (folder / f"{name}.py").write_text(code, encoding="utf-8")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[rayfleet.plugins]\n{name} = {name}\n", encoding="utf-8")


def test_a_plugin_that_cannot_be_imported_is_told_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    installed(tmp_path, "zoo_bad_scorers", BAD)
    installed(tmp_path, "zoo_good_scorers", GOOD)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    file = tmp_path / "profiles.yaml"
    file.write_text("profiles: {mixed: {scorers: {even: 1, odd: 1}}, fine: {scorers: {even: 2}}}", encoding="utf-8")
    faults: list[str] = []
    with caplog.at_level(logging.WARNING):
        profiles = load_profiles(file, "fine", faults.append)
    assert {"even", "fine", "least-request"} <= set(profiles.names)
    assert "mixed" not in profiles.names
    reasons = [str(getattr(record, "reason", "")) for record in caplog.records]
    assert [("zoo_bad_scorers" in reason, "'odd' is no scorer" in reason) for reason in reasons] == [
        (True, False),
        (False, True),
    ]
    assert faults == ["plugin"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("profiles: [a", "cannot be read"),
        ("profiles: {a: {scorers: {s: -1}}}", "profiles.a.scorers.s"),
        ("profiles: {a: {pickers: x}}", "profiles.a.pickers"),
        ("", "a mapping"),
    ],
)
def test_a_file_of_profiles_that_cannot_be_used_is_told_at_once(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "profiles.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=words):
        load_profiles(file)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--profiles"):
        load_profiles(tmp_path / "none.yaml")


def test_a_default_profile_that_nobody_has_is_told_at_once() -> None:
    with pytest.raises(SettingsError, match=r"--default-profile leest-request: .*did you mean .*least-request"):
        load_profiles(default="leest-request")


def test_a_default_profile_that_a_broken_plugin_may_have_is_no_reason_not_to_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, "zoo_broken_default", BAD)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    profiles = load_profiles(default="odd")
    assert [str(each) for each in profiles.problems if each.path == "default"]
