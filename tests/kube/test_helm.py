"""The chart in the hands of the real Helm, 3 and 4: it makes what `rayfleet install` prints, and lets fleets be.

The version before is this one's chart under another number, with other images, a right and a short name that went.
"""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayfleet import __version__
from rayfleet.deploy.install import CHART, install_objects
from rayfleet.kube.config import connect
from rayfleet.model.json import Json
from rayfleet.model.resources import CRDS, FLEETS
from rayfleet.objects.meta import name_of, uid_of, version_of
from rayfleet.testing.fleet_world import fleet_manifest
from rayfleet.testing.installed_roles import CLUSTER_ROLES, ROLES, allowed_by, rendered_roles
from rayfleet.testing.realkube import (
    HELM_VERSIONS,
    KUBERNETES_VERSION,
    RealKubeServer,
    default_cache,
    ensure_binaries,
    ensure_helm,
)

pytestmark = pytest.mark.realkube
PROFILES = Path(__file__).parents[1] / "golden" / "install"
NAMESPACE = "rayfleet-system"
BEFORE = "0.0.1"
SLICES = "- endpointslices\n    verbs:\n"
IMAGE = f"rayfleet/controller:{__version__}"
RELEASE = ("rayfleet", str(CHART), "--namespace", NAMESPACE)


@pytest.fixture(scope="module", params=HELM_VERSIONS)
def helm(request: pytest.FixtureRequest) -> Path:
    return ensure_helm(default_cache(), request.param, progress=print)


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[Path]:
    """A server that has none of our definitions: they are the chart's to bring."""
    with RealKubeServer(ensure_binaries(default_cache(), progress=print), tmp_path) as running:
        yield running.kubeconfig


def run(helm: Path, *arguments: str, is_fine: bool = True) -> str:
    done = subprocess.run([helm, *arguments], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode == 0) is is_fine, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout if is_fine else done.stderr


def by_name(objects: Any) -> dict[tuple[str, str, str], Any]:
    return {
        (each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]): each
        for each in objects
        if each and each["kind"] != "Namespace"
    }


@pytest.mark.parametrize("profile", sorted(PROFILES.glob("*.in.yaml")), ids=lambda path: str(path.name.split(".")[0]))
def test_the_chart_makes_what_the_command_prints(helm: Path, profile: Path) -> None:
    text = run(helm, "template", *RELEASE, "-f", str(profile), "--kube-version", KUBERNETES_VERSION)
    given = yaml.safe_load(profile.read_text(encoding="utf-8"))
    assert by_name(yaml.safe_load_all(text)) == by_name(install_objects(given))


def test_the_chart_passes_the_strict_lint(helm: Path) -> None:
    assert "0 chart(s) failed" in run(helm, "lint", "--strict", str(CHART))


@pytest.mark.parametrize(
    "value",
    ["gatway.enabled=true", "controller.image=rayfleet/controller", "gateway.image=a:latest", "controller.replicas=0"],
)
def test_helm_refuses_the_values_that_the_command_refuses(helm: Path, value: str) -> None:
    words = run(helm, "template", *RELEASE, "--set", value, "--kube-version", KUBERNETES_VERSION, is_fine=False)
    assert "values don't meet the specifications of the schema" in words


def test_a_release_comes_changes_and_goes_and_its_fleets_stay(helm: Path, kubeconfig: Path, tmp_path: Path) -> None:
    at = ("--kubeconfig", str(kubeconfig))
    name, _, *namespace = RELEASE
    run(helm, "install", name, str(chart_of_the_version_before(tmp_path)), *namespace, "--create-namespace", *at)
    assert asyncio.run(short_names(kubeconfig)) == {"rcf-of-old", "rcrs"}
    fleet = asyncio.run(created_fleet(kubeconfig))
    words = run(helm, "install", name, str(CHART), "-n", "second", "--create-namespace", *at, is_fine=False)
    assert "rayfleet" in words
    assert "cannot be imported into the current release" in words
    run(helm, "upgrade", *RELEASE, "--set", "controller.replicas=3,gateway.enabled=false", *at)
    release = json.loads(run(helm, "status", name, *namespace, "-o", "json", *at))
    assert release["version"] == 2
    objects = asyncio.run(deployed(kubeconfig))
    assert list(objects) == ["rayfleet-controller"]
    spec = objects["rayfleet-controller"]["spec"]
    assert (spec["replicas"], spec["template"]["spec"]["containers"][0]["image"]) == (3, IMAGE)
    assert allowed_by(asyncio.run(roles(kubeconfig))) == allowed_by(rendered_roles("controller"))
    assert asyncio.run(short_names(kubeconfig)) == {"rcf", "rcrs"}
    run(helm, "uninstall", name, *namespace, *at)
    assert asyncio.run(left_over(kubeconfig)) == []
    assert asyncio.run(seen_fleet(kubeconfig)) == fleet
    definitions = asyncio.run(kept(kubeconfig))
    assert definitions == ["rayclusterfleets.orchestration.aibrix.ai", "rayclusterreplicasets.orchestration.aibrix.ai"]


def chart_of_the_version_before(folder: Path) -> Path:
    """Return a chart from which this one is an upgrade."""
    chart = shutil.copytree(CHART, folder / "before")
    for file, now, before in (
        ("Chart.yaml", __version__, BEFORE),
        ("values.yaml", f":{__version__}", f":{BEFORE}"),
        ("templates/crds.yaml", "- rcf\n", "- rcf-of-old\n"),
        ("templates/controller-rbac.yaml", SLICES, f"{SLICES}      - get\n"),
    ):
        text = (chart / file).read_text(encoding="utf-8")
        assert now in text, f"{file} has no {now!r}"
        (chart / file).write_text(text.replace(now, before), encoding="utf-8")
    return chart


async def created_fleet(kubeconfig: Path) -> tuple[str, str]:
    async with await connect(kubeconfig) as client:
        await client.create(FLEETS, fleet_manifest("default"))
    return await seen_fleet(kubeconfig)


async def seen_fleet(kubeconfig: Path) -> tuple[str, str]:
    """Return what makes the fleet itself, and untouched: no controller runs here."""
    async with await connect(kubeconfig) as client:
        fleet = await client.get(FLEETS, "model", "default")
        return uid_of(fleet), version_of(fleet)


async def kept(kubeconfig: Path) -> list[str]:
    async with await connect(kubeconfig) as client:
        return sorted(name_of(each) for each in (await client.list(CRDS)).items)


async def short_names(kubeconfig: Path) -> set[str]:
    """Return the short names of our kinds as their definitions have them now."""
    async with await connect(kubeconfig) as client:
        return {name for each in (await client.list(CRDS)).items for name in each["spec"]["names"]["shortNames"]}


async def deployed(kubeconfig: Path) -> dict[str, Any]:
    async with await connect(kubeconfig) as client:
        listed = json.loads(await client.raw("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"))
        return {name_of(each): each for each in listed["items"]}


async def roles(kubeconfig: Path) -> list[Json]:
    """Return the controller's roles as they are on the server."""
    async with await connect(kubeconfig) as client:
        return [
            await client.get(CLUSTER_ROLES, "rayfleet-controller"),
            await client.get(ROLES, "rayfleet-controller", NAMESPACE),
        ]


async def left_over(kubeconfig: Path) -> list[str]:
    """Return what of ours is there beside definitions and fleets."""
    places = (
        f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments",
        *(
            f"/api/v1/namespaces/{NAMESPACE}/{kind}"
            for kind in ("services", "configmaps", "serviceaccounts", "secrets")
        ),
        *(f"/apis/rbac.authorization.k8s.io/v1/{kind}" for kind in ("clusterroles", "clusterrolebindings")),
        *(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/{kind}" for kind in ("roles", "rolebindings")),
        f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets",
        f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers",
    )
    async with await connect(kubeconfig) as client:
        lists = [json.loads(await client.raw("GET", place)) for place in places]
    return [name_of(each) for answer in lists for each in answer["items"] if "rayfleet" in name_of(each)]
