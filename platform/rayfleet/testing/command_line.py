"""The command line in a test: on one API server, in one namespace, and nowhere else."""

import json
from dataclasses import dataclass
from pathlib import Path

import yaml
from click.testing import CliRunner, Result

from rayfleet.cli.main import rayfleet_group
from rayfleet.model.json import ReadOnlyJson


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Runs ``rayfleet`` in this process; ``$KUBECONFIG`` is ``kubeconfig``, nothing else of the machine is seen."""

    kubeconfig: Path

    def __call__(self, *arguments: str, code: int = 0, manifest: ReadOnlyJson | None = None) -> Result:
        """Return what came of it, which must end with ``code``; ``manifest`` is its standard input."""
        home = str(self.kubeconfig.parent)
        result = CliRunner().invoke(
            rayfleet_group,
            arguments,
            input=None if manifest is None else json.dumps(manifest),
            env={"KUBECONFIG": str(self.kubeconfig), "HOME": home, "XDG_STATE_HOME": home},
        )
        assert result.exit_code == code, f"{arguments}: {result.exit_code}\n{result.output}\n{result.exception!r}"
        return result


def in_namespace(kubeconfig: Path, namespace: str, folder: Path) -> Path:
    """Return a copy of a kubeconfig, in ``folder``, whose contexts name ``namespace``."""
    document = yaml.safe_load(kubeconfig.read_text())
    for entry in document["contexts"]:
        entry["context"]["namespace"] = namespace
    for entry in document["clusters"]:
        if authority := entry["cluster"].get("certificate-authority"):
            entry["cluster"]["certificate-authority"] = str(kubeconfig.parent / authority)
    own = folder / "kubeconfig"
    own.write_text(yaml.safe_dump(document))
    return own
