"""How objects are shown: whole, as a table, or their metadata alone. Pure.

Source: Kubernetes API concepts, "Receiving resources as Tables" and "Metadata-only fetches" (v1.36).
"""

from collections.abc import Callable, Sequence
from datetime import datetime

import orjson

from rayfleet.local.apiserver.grammar.refusal import bad_request
from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.local.apiserver.storage.history import Stored
from rayfleet.local.apiserver.wire.negotiation import Shown, View
from rayfleet.local.apiserver.writes.writing import shown_as
from rayfleet.model.json import Json, ReadOnlyJson

_INCLUDES = ("", "Metadata", "None", "Object")


class Viewer:
    """Shows objects of one kind as one client wants them.

    ``include`` says what a table's rows carry beside the cells.
    """

    def __init__(self, kind: Kind, shown: Shown, *, now: Callable[[], datetime], include: str = "") -> None:
        if include not in _INCLUDES:
            raise bad_request(f"unrecognized includeObject value: {include!r}")
        self._kind = kind
        self._view = shown.view
        self._meta_version = f"meta.k8s.io/{shown.version}"
        self._now = now
        self._include = include or "Metadata"
        self._has_columns_sent = False

    def one(self, manifest: ReadOnlyJson) -> bytes:
        """Return the body of an answer with one object."""
        if self._view is View.TABLE:
            return orjson.dumps(
                self._table([manifest], {"resourceVersion": manifest["metadata"].get("resourceVersion", "")})
            )
        return orjson.dumps(self._shown(manifest))

    def stored(self, stored: Stored) -> bytes:
        """Return the body of an answer with one stored object, without encoding it again when it is shown as it is."""
        if self._view is View.WHOLE and stored.object["apiVersion"] == self._kind.api_version:
            return stored.body
        return self.one(stored.object)

    def event(self, stored: Stored) -> bytes:
        """Return the object of a watch event; columns are stated in the first table only."""
        if self._view is not View.TABLE:
            return self.stored(stored)
        table = self._table([stored.object], {"resourceVersion": str(stored.version)})
        if self._has_columns_sent:
            table["columnDefinitions"] = None
        self._has_columns_sent = True
        return orjson.dumps(table)

    def many(self, items: Sequence[Stored], metadata: ReadOnlyJson) -> bytes:
        """Return the body of a list; ``metadata`` is the list's."""
        if self._view is View.TABLE:
            return orjson.dumps(self._table([each.object for each in items], metadata))
        if self._view is View.METADATA:
            kind, version = "PartialObjectMetadataList", self._meta_version
        else:
            kind, version = self._kind.list_kind, self._kind.api_version
        head = orjson.dumps({"kind": kind, "apiVersion": version, "metadata": metadata})
        bodies = b",".join(self._item(each) for each in items)
        return head[:-1] + b',"items":[' + bodies + b"]}"

    def _item(self, stored: Stored) -> bytes:
        """Return an item; those of built-in kinds do not repeat what the list says of all."""
        body = self.stored(stored)
        if self._view is View.METADATA or self._kind.is_custom:
            return body
        repeated = b'{"apiVersion":"%s","kind":"%s",' % (self._kind.api_version.encode(), self._kind.kind.encode())
        return b"{" + body.removeprefix(repeated) if body.startswith(repeated) else body

    def _shown(self, manifest: ReadOnlyJson) -> ReadOnlyJson:
        if self._view is View.METADATA:
            return partial_metadata(manifest, self._meta_version)
        return shown_as(self._kind, manifest)

    def _table(self, manifests: Sequence[ReadOnlyJson], metadata: ReadOnlyJson) -> Json:
        printer = self._kind.printer
        return {
            "kind": "Table",
            "apiVersion": self._meta_version,
            "metadata": metadata,
            "columnDefinitions": [each.definition() for each in printer.columns],
            "rows": [self._row(each) for each in manifests],
        }

    def _row(self, manifest: ReadOnlyJson) -> Json:
        row: Json = {"cells": self._kind.printer.cells(manifest, self._now())}
        if self._include == "Metadata":
            row["object"] = partial_metadata(manifest, self._meta_version)
        elif self._include == "Object":
            row["object"] = shown_as(self._kind, manifest)
        else:
            row["object"] = None
        return row


def partial_metadata(manifest: ReadOnlyJson, version: str) -> Json:
    """Return the metadata alone, as an object of ``version``."""
    return {"kind": "PartialObjectMetadata", "apiVersion": version, "metadata": manifest["metadata"]}
