"""Patterns of schemas and rules: Go's regular expressions, and nothing that Go refuses."""

from typing import Any

import pytest

from rayfleet.model.json import Json
from rayfleet.testing.raw_api import Answer, RawApi

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


async def defined(api: RawApi, ns: str, **text: Any) -> Answer:
    """Ask whether a kind could be with one text so restricted; nothing is stored."""
    schema = {"type": "object", "properties": {"spec": {"type": "string", "maxLength": 50, **text}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "things", "kind": "Thing"}
    definition: Json = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{ns}.io"},
        "spec": {"group": f"{ns}.io", "scope": "Namespaced", "names": names, "versions": [version]},
    }
    return await api.post(DEFINITIONS, definition, dryRun="All")


@pytest.mark.parametrize(
    "pattern", [r"^\pL+$", "^(?i)a", "(?s:.)", r"[[:alpha:]]\z", r"\Qa.b\E", "^(?P<x>a|b)$", "a??"]
)
async def test_what_go_has_is_taken(api: RawApi, ns: str, pattern: str) -> None:
    assert (await defined(api, ns, pattern=pattern)).status == 201


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("[", "missing closing ]: `[`"),
        ("x[a", "missing closing ]: `[a`"),
        ("(a", "missing closing ): `(a`"),
        ("a)", "unexpected ): `a)`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("x(?<!a)b", "invalid named capture: `(?<!a)b`"),
        ("(?z)", "invalid or unsupported Perl syntax: `(?z`"),
        ("(?P<x", "invalid named capture: `(?P<x`"),
        (r"(a)\1", r"invalid escape sequence: `\1`"),
        (r"a\Z", r"invalid escape sequence: `\Z`"),
        (r"\C", r"invalid escape sequence: `\C`"),
        ("a\\", "trailing backslash at end of expression: ``"),
        ("[[:nope:]]", "invalid character class range: `[:nope:]`"),
        ("[b-a]", "invalid character class range: `b-a`"),
        (r"\p{Nope}", r"invalid character class range: `\p{Nope}`"),
    ],
)
async def test_what_go_has_not_is_refused_in_its_words(api: RawApi, ns: str, pattern: str, reason: str) -> None:
    answer = await defined(api, ns, pattern=pattern)
    assert answer.status == 422, answer.body
    (cause,) = answer.json["details"]["causes"]
    assert cause["message"].endswith(f"must be a valid regular expression, but isn't: error parsing regexp: {reason}")
