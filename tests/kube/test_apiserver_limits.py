"""What is the embedded server's alone: logs of pods, and clear words for what it does not do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rayfleet.kube.config import read_address
from rayfleet.local.apiserver.testing import embedded_api_server
from rayfleet.model.json import Json
from rayfleet.testing.raw_api import RawApi
from rayfleet.testing.waiting import LIMIT_SECONDS

PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[RawApi]:
    async with (
        embedded_api_server(tmp_path / "state", pods_folder=tmp_path / "pods") as running,
        RawApi(await read_address(running.kubeconfig)) as opened,
    ):
        yield opened


@pytest.fixture
async def logs(api: RawApi, tmp_path: Path) -> Path:
    """The folder of the logs of the pod ``web``, which has two containers."""
    answer = await api.post(PODS, _pod("web"))
    folder = tmp_path / "pods" / f"default_web_{answer.json['metadata']['uid']}"
    for container, restart, text in (("main", 0, "a\nb\nc\n"), ("main", 1, "d\ne\n"), ("side", 0, "s\n")):
        (folder / container).mkdir(parents=True, exist_ok=True)
        (folder / container / f"{restart}.log").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"container": "main"}, b"d\ne\n"),
        ({"container": "side"}, b"s\n"),
        ({"container": "main", "previous": "true"}, b"a\nb\nc\n"),
        ({"container": "main", "tailLines": "1"}, b"e\n"),
        ({"container": "main", "tailLines": "0"}, b""),
        ({"container": "main", "tailLines": "9"}, b"d\ne\n"),
        ({"container": "main", "limitBytes": "3"}, b"d\ne"),
    ],
)
async def test_a_log_is_the_part_that_is_asked_for(
    api: RawApi, logs: Path, query: dict[str, str], expected: bytes
) -> None:
    answer = await api.call("GET", f"{PODS}/web/log", query=query)
    assert (answer.status, answer.body) == (200, expected)
    assert answer.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({}, "a container name must be specified for pod web, choose one of: [main side]"),
        ({"container": "none"}, "container none is not valid for pod web"),
        ({"container": "side", "previous": "true"}, "previous terminated container"),
        ({"container": "main", "tailLines": "x"}, "tailLines"),
        ({"container": "main", "sinceSeconds": "x"}, "sinceSeconds"),
    ],
)
async def test_a_log_that_is_not_there_is_refused(api: RawApi, logs: Path, query: dict[str, str], text: str) -> None:
    answer = await api.call("GET", f"{PODS}/web/log", query=query)
    assert (answer.status, answer.reason) == (400, "BadRequest")
    assert text in answer.json["message"]


async def test_a_followed_log_goes_on_until_its_container_ends(api: RawApi, logs: Path) -> None:
    following = asyncio.ensure_future(
        api.call("GET", f"{PODS}/web/log", query={"container": "main", "follow": "true", "tailLines": "1"})
    )
    with (logs / "main" / "1.log").open("a") as log:
        log.write("f\n")
    ended = {
        "name": "main",
        "state": {"terminated": {"exitCode": 0}},
        "ready": False,
        "restartCount": 1,
        "image": "x",
        "imageID": "",
    }
    answer = await api.call(
        "PATCH",
        f"{PODS}/web/status",
        {"status": {"containerStatuses": [ended]}},
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert answer.status == 200, answer.body
    async with asyncio.timeout(LIMIT_SECONDS):
        assert (await following).body in (b"e\nf\n", b"f\n")


@pytest.mark.parametrize("name", ["exec", "attach", "portforward", "ephemeralcontainers", "resize", "proxy"])
async def test_what_pods_do_not_offer_is_named(api: RawApi, name: str) -> None:
    await api.post(PODS, _pod("web"))
    answer = await api.call("POST", f"{PODS}/web/{name}", {})
    assert (answer.status, answer.reason) == (404, "NotFound")
    assert f"pods/{name} is not offered by rayfleet's embedded API server" in answer.json["message"]


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/apply-patch+cbor", 415),
        ("text/plain", 415),
        ("application/vnd.kubernetes.protobuf", 415),
    ],
)
async def test_patches_of_other_forms_are_refused_and_change_nothing(
    api: RawApi, content_type: str, status: int
) -> None:
    await api.post(PODS, _pod("web"))
    before = (await api.get(f"{PODS}/web")).body
    answer = await api.call("PATCH", f"{PODS}/web", _pod("web"), headers={"Content-Type": content_type})
    assert (answer.status, answer.reason) == (status, "UnsupportedMediaType")
    assert (await api.get(f"{PODS}/web")).body == before


@pytest.mark.parametrize("content_type", ["application/cbor", "text/plain"])
async def test_bodies_of_other_forms_are_refused(api: RawApi, content_type: str) -> None:
    answer = await api.call("POST", PODS, _pod("web"), headers={"Content-Type": content_type})
    assert (answer.status, answer.reason) == (415, "UnsupportedMediaType")


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/vnd.kubernetes.protobuf", 406),
        ("application/cbor", 406),
        ("application/vnd.kubernetes.protobuf,application/json", 200),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", 200),
        ("*/*", 200),
        ("", 200),
    ],
)
async def test_answers_are_json_or_none(api: RawApi, accept: str, status: int) -> None:
    answer = await api.call("GET", PODS, headers={"Accept": accept})
    assert answer.status == status
    assert answer.headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize("path", ["/apis/apps/v1", "/apis/apps/v1/deployments", "/metrics", "/logs", "/api/v2", "/"])
async def test_other_paths_are_not_found(api: RawApi, path: str) -> None:
    assert (await api.get(path)).status == 404


async def test_a_webhook_conversion_is_refused(api: RawApi) -> None:
    schema = {"openAPIV3Schema": {"type": "object"}}
    definition: Json = {
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "names": {"plural": "things", "kind": "Thing"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
            "conversion": {
                "strategy": "Webhook",
                "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://x"}},
            },
        },
    }
    answer = await api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert "spec.conversion.strategy" in answer.json["message"]


async def test_a_body_beyond_the_limit_is_refused(api: RawApi) -> None:
    big = {"metadata": {"name": "big"}, "data": {"a": "x" * (4 << 20)}}
    answer = await api.post("/api/v1/namespaces/default/configmaps", big)
    assert (answer.status, answer.reason) == (413, "RequestEntityTooLarge")


def _pod(name: str) -> Json:
    containers = [{"name": "main", "image": "x:1"}, {"name": "side", "image": "x:1"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": "here", "containers": containers},
    }
