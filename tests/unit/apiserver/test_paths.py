"""What the URL and the Accept header mean to the embedded API server."""

import pytest

from rayfleet.local.apiserver.grammar.refusal import Refusal
from rayfleet.local.apiserver.wire.negotiation import View, aggregated_discovery_version, media_types, shown_for
from rayfleet.local.apiserver.wire.paths import ApiPath, parse_path

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/api/v1", ApiPath(group="", version="v1")),
        ("/api/v1/pods", ApiPath(group="", version="v1", plural="pods")),
        ("/api/v1/namespaces", ApiPath(group="", version="v1", plural="namespaces")),
        ("/api/v1/namespaces/a", ApiPath(group="", version="v1", plural="namespaces", name="a")),
        (
            "/api/v1/namespaces/a/finalize",
            ApiPath(group="", version="v1", plural="namespaces", name="a", subresource="finalize"),
        ),
        ("/api/v1/namespaces/a/pods", ApiPath(group="", version="v1", namespace="a", plural="pods")),
        (
            "/api/v1/namespaces/a/pods/p/status",
            ApiPath(group="", version="v1", namespace="a", plural="pods", name="p", subresource="status"),
        ),
        (
            "/api/v1/namespaces/a/pods/p/proxy/x/y",
            ApiPath(group="", version="v1", namespace="a", plural="pods", name="p", subresource="proxy/x/y"),
        ),
        ("/apis/ray.io/v1/rayclusters/", ApiPath(group="ray.io", version="v1", plural="rayclusters")),
        ("/api/v1/nodes/a%2Fb", ApiPath(group="", version="v1", plural="nodes", name="a/b")),
    ],
)
def test_a_path_names_a_resource(raw: str, path: ApiPath) -> None:
    assert parse_path(raw) == path


@pytest.mark.parametrize("raw", ["/", "/api", "/apis/ray.io", "/version", "/api/v1//pods"])
def test_other_paths_name_none(raw: str) -> None:
    assert parse_path(raw) is None


@pytest.mark.parametrize(
    ("accept", "view"),
    [
        ("", View.WHOLE),
        ("*/*", View.WHOLE),
        ("application/json", View.WHOLE),
        (f"{TABLE},application/json", View.TABLE),
        (f"application/vnd.kubernetes.protobuf,{TABLE}", View.TABLE),
        (PARTIAL, View.METADATA),
        (f"{PARTIAL.replace('v=v1', 'v=v9')},application/json", View.WHOLE),
        ("application/yaml;q=0.9,application/json;q=0.5", View.WHOLE),
    ],
)
def test_the_first_view_that_is_spoken_is_taken(accept: str, view: View) -> None:
    assert shown_for(accept).view is view


def test_a_list_has_a_view_of_its_own() -> None:
    wanted = PARTIAL.replace("Metadata;", "MetadataList;")
    assert shown_for(wanted, is_list=True).view is View.METADATA
    with pytest.raises(Refusal):
        shown_for(wanted)


@pytest.mark.parametrize("accept", ["application/vnd.kubernetes.protobuf", "text/html", TABLE.replace("v=v1", "v=v7")])
def test_what_is_not_spoken_is_not_acceptable(accept: str) -> None:
    with pytest.raises(Refusal) as refused:
        shown_for(accept)
    assert refused.value.code == 406


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        ("application/json", ""),
        (f"{DISCOVERY},application/json", "v2"),
        (f"{DISCOVERY.replace('v2', 'v2beta1')},application/json", "v2beta1"),
        (f"{DISCOVERY.replace('v2', 'v9')},application/json", ""),
    ],
)
def test_aggregated_discovery_is_given_to_those_who_ask(accept: str, version: str) -> None:
    assert aggregated_discovery_version(accept) == version


def test_alternatives_come_best_first() -> None:
    assert [each.name for each in media_types("a/a;q=0.1, B/b, c/c;q=x")] == ["b/b", "a/a", "c/c"]
