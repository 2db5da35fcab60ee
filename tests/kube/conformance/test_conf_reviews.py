"""What a client may do and who it is, as it asks before it shows anything."""

import pytest

from rayfleet.model.json import Json
from rayfleet.testing.raw_api import RawApi

ACCESS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
RULES = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
PODS = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}


@pytest.mark.parametrize("spec", [PODS, {"nonResourceAttributes": {"verb": "get", "path": "/version"}}])
async def test_everything_is_allowed(api: RawApi, spec: Json) -> None:
    answer = await api.post(ACCESS, {"spec": spec})
    assert answer.status == 201
    assert (answer.json["kind"], answer.json["spec"], answer.json["status"]) == (
        "SelfSubjectAccessReview",
        spec,
        {"allowed": True},
    )


@pytest.mark.parametrize(
    ("review", "field"),
    [
        ({"spec": {}}, "spec.resourceAttributes"),
        (
            {"spec": PODS | {"nonResourceAttributes": {"verb": "get", "path": "/"}}},
            "spec.nonResourceAttributes",
        ),
        ({"metadata": {"name": "a"}, "spec": PODS}, "metadata"),
    ],
)
async def test_a_question_that_is_none_is_refused(api: RawApi, review: Json, field: str) -> None:
    answer = await api.post(ACCESS, review)
    assert (answer.status, answer.causes) == (422, {(field, "FieldValueInvalid")})


async def test_another_kind_is_refused(api: RawApi) -> None:
    assert (await api.post(ACCESS, {"kind": "Pod", "spec": PODS})).status == 400


async def test_the_rules_of_a_namespace_allow_everything(api: RawApi) -> None:
    rules = (await api.post(RULES, {"spec": {"namespace": "default"}})).json["status"]
    assert {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]} in rules["resourceRules"]
    assert any("*" in each["verbs"] for each in rules["nonResourceRules"])
    assert (await api.post(RULES, {"spec": {}})).status == 400


async def test_the_user_is_told(api: RawApi) -> None:
    answer = await api.post(SELF, {})
    user = answer.json["status"]["userInfo"]
    assert (answer.status, user["username"]) == (201, "admin")
    assert "system:masters" in user["groups"]


@pytest.mark.parametrize("path", [ACCESS, RULES, SELF])
async def test_reviews_are_made_and_nothing_else(api: RawApi, path: str) -> None:
    assert (await api.get(path)).status == 405
    assert (await api.delete(path)).status == 405
    assert (await api.get(f"{path}/a")).status == 404
    listed = (await api.get(path.rpartition("/")[0])).json["resources"]
    (entry,) = [each for each in listed if each["name"] == path.rpartition("/")[2]]
    assert (entry["verbs"], entry["namespaced"], entry.get("storageVersionHash")) == (["create"], False, None)
