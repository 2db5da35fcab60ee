"""What plugins contribute to the gateway, and the profiles that use it: read once, while the gateway starts. Edge.

A plugin that cannot be used is logged and left out, and so is a profile that needs it: the gateway serves all the
same. A file of profiles that cannot be read, or a default profile that nobody has, is the administrator's own fault,
and ends the process before it serves.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import yaml

from rayfleet.model.errors import PluginError, SettingsError
from rayfleet.plugin.registry import load
from rayfleet.plugin.settings import read_plugin_settings
from rayfleet.plugin.watch import Watch
from rayfleet_gateway.pick.profiles import DEFAULT, Contributed, Profile, Profiles, decoded_profiles

log = logging.getLogger(__name__)


def load_profiles(
    file: Path | None = None, default: str = DEFAULT, on_fault: Callable[[str], None] = lambda _: None
) -> Profiles:
    """Return the profiles of this process, each plugin's contribution called a few times already.

    ``file``: YAML with ``profiles`` by name. ``on_fault`` hears the name of a contribution that is switched off. Raises
    SettingsError.

    Called in the main thread, where requests will call the contributions too: only there one that hangs is ended.
    """

    def report(title: str, why: str) -> None:
        log.warning("a profile or a plugin cannot be used as it is", extra={"contribution": title, "reason": why})
        on_fault(title)

    left_out: list[PluginError] = []

    def refuse(error: PluginError) -> None:
        left_out.append(error)
        log.error("a plugin is left out", extra={"reason": str(error)})
        on_fault("plugin")

    watch = Watch()
    registry = load(disabled=read_plugin_settings().disabled, refuse=refuse, bounded=watch.call)
    contributed = Contributed(filters=registry.filters, scorers=registry.scorers, pickers=registry.pickers)
    written = () if file is None else read_profiles(file)
    profiles = Profiles(
        contributed,
        written,
        default=default,
        clock=perf_counter,
        report=report,
        bounded=watch.call,
    )
    if not left_out and default not in {*profiles.names, *(profile.name for profile in written)}:
        raise SettingsError(f"--default-profile {default}: {profiles.fault_of(default)}")
    for problem in profiles.problems:
        log.warning("a profile or a plugin cannot be used as it is", extra={"reason": str(problem)})
    profiles.rehearse()
    return profiles


def read_profiles(file: Path) -> tuple[Profile, ...]:
    """Return the profiles of a file. Raises SettingsError, naming it and the field."""
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"--profiles {file}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"--profiles {file}: cannot be read: {error}") from error
    profiles, problems = decoded_profiles(raw)
    if problems:
        raise SettingsError(f"--profiles {file}: {'; '.join(map(str, problems))}")
    return profiles
