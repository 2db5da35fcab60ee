"""The API server's audit log of all that was done before: ours asked for nothing that their roles do not give.

After the file with the deeds, before the one that uninstalls: files run in the order of their names.
"""

import json
from collections.abc import Iterator

import pytest
from tests.kubernetes.installation import CONTROLLERS, GATEWAY, NAMESPACE

from rayfleet.model.json import Json
from rayfleet.testing.kubectl import Kubectl
from rayfleet.testing.realnode.configuration import AUDIT_LOG

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(5400)]

FORBIDDEN = 403
PREFIX = f"system:serviceaccount:{NAMESPACE}:"


def test_nothing_that_ours_asked_was_forbidden_and_no_secret_was_read(installed: Kubectl, fleet: str) -> None:
    asked = list(_requests())
    assert {each["user"]["username"].removeprefix(PREFIX) for each in asked} == {CONTROLLERS, GATEWAY}
    refused = {_shown(each) for each in asked if each["responseStatus"]["code"] == FORBIDDEN}
    assert refused == set()
    objects = [each.get("objectRef", {}) for each in asked]
    assert not [each for each in objects if each.get("resource") == "secrets" or each.get("subresource") == "exec"]


def _requests() -> Iterator[Json]:
    with AUDIT_LOG.open(encoding="utf-8") as log:
        for line in log.readlines()[:-1]:  # the last may still be in writing
            event: Json = json.loads(line)
            if event["user"]["username"].startswith(PREFIX) and event["stage"] == "ResponseComplete":
                yield event


def _shown(event: Json) -> str:
    return f"{event['user']['username'].removeprefix(PREFIX)}: {event['verb']} {event['requestURI']}"
