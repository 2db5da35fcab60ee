"""Routes with filters; ``filters.py`` of the suite asks them, since it looks at more than who answers."""

from rayfleet.model.json import Json
from rayfleet.testing.suites.data_plane.objects import backend, matching, route, rule
from rayfleet.testing.suites.data_plane.rooms.room import Asked, Room

HOST = "filters.example"
SHARED = {
    "/ninety": {"a": 90, "b": 10},
    "/even": {"a": 50, "b": 50},
    "/half": {"a": 50, "500": 50},
    "/off": {"a": 0, "b": 100},
}
"""By path: how many of 100 requests each engine gets, or how many get a status."""


def _redirect(path: str, /, **how: object) -> Json:
    return rule(matching(path), filters=[{"type": "RequestRedirect", "requestRedirect": how}])


def _rewrite(path: str, /, **how: object) -> Json:
    return rule(matching(path), to="a", filters=[{"type": "URLRewrite", "urlRewrite": how}])


def _pairs(**pairs: str) -> list[Json]:
    return [{"name": name.replace("_", "-"), "value": value} for name, value in pairs.items()]


_MODIFIED = rule(
    matching("/headers"),
    to="a",
    filters=[
        {
            "type": "RequestHeaderModifier",
            "requestHeaderModifier": {
                "set": _pairs(X_Set="new"),
                "add": _pairs(X_Add="more"),
                "remove": ["X-Gone"],
            },
        },
        {
            "type": "ResponseHeaderModifier",
            "responseHeaderModifier": {
                "set": _pairs(X_Out="new"),
                "add": _pairs(X_More="more"),
                "remove": ["Content-Type"],
            },
        },
    ],
)
FILTERED = Room(
    host=HOST,
    objects=(
        route(
            "filters",
            _MODIFIED,
            _redirect("/moved", hostname="new.example"),
            _redirect("/old", path={"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}, statusCode=301),
            _redirect("/whole", path={"type": "ReplaceFullPath", "replaceFullPath": "/all"}),
            _redirect("/secure", scheme="https", port=8443),
            _rewrite("/short", path={"type": "ReplacePrefixMatch", "replacePrefixMatch": "/v1/long"}),
            _rewrite("/root", path={"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}),
            _rewrite("/one", path={"type": "ReplaceFullPath", "replaceFullPath": "/two"}),
            _rewrite("/host", hostname="inner.example"),
            *(
                rule(
                    matching(path),
                    to=[
                        backend("missing" if name == "500" else name, weight=weight) for name, weight in shares.items()
                    ],
                )
                for path, shares in SHARED.items()
            ),
            hostnames=[HOST],
        ),
    ),
    asked={"nothing is filtered elsewhere": Asked(path="/elsewhere", status=404, code="path_not_found", model="m")},
)
