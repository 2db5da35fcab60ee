"""The fields of ``metadata``, which every kind has, built-in or custom. Pure."""

from typing import Any

from rayfleet.local.apiserver.grammar.refusal import bad_request
from rayfleet.local.apiserver.kinds.decoding import Decoder, WrongTypeError
from rayfleet.local.apiserver.kinds.schemas import Schemas
from rayfleet.model.json import Json

_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


class MetadataFields:
    """The fields of ``metadata``, which are the same for every kind."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas

    def clean(self, metadata: Any, subject: str) -> tuple[Json, list[str]]:
        """Return the metadata as typed data and the paths of unknown fields. Raises Refusal (400) for a wrong type."""
        decoder = Decoder(self._schemas)
        try:
            cleaned = decoder.decode(metadata, self._schemas.by_name[_META], _META, "metadata")
        except WrongTypeError as error:
            raise bad_request(f"{subject} cannot be handled: json: {error}") from error
        return cleaned, decoder.unknown
