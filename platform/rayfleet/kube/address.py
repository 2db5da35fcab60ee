"""Where an API server is and how to prove who asks. Edge: reads certificate and token files."""

import asyncio
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Protocol


class Credentials(Protocol):
    """Gives the ``Authorization`` header; asked before every request, so it must be quick when nothing expired."""

    async def authorization(self) -> str:
        """Return the header's value (``Bearer ...``), empty for none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NoCredentials:
    """A client certificate, or nothing, says who asks."""

    async def authorization(self) -> str:
        """Return nothing."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticCredentials:
    """A header that never changes; not printed."""

    header: str = field(repr=False)

    async def authorization(self) -> str:
        """Return the header."""
        return self.header


class TokenFile:
    """A bearer token in a file that somebody renews (a service account's), read again every ``period_seconds``."""

    def __init__(self, path: Path, *, period_seconds: float = 60) -> None:
        self._path = path
        self._period_seconds = period_seconds
        self._header = ""
        self._read_at = float("-inf")

    async def authorization(self) -> str:
        """Return the newest token; the last good one while the file cannot be read."""
        if monotonic() - self._read_at >= self._period_seconds:
            try:
                token = await asyncio.to_thread(self._path.read_text, "utf-8")
            except OSError:
                if not self._header:
                    raise
            else:
                self._header = f"Bearer {token.strip()}"
            self._read_at = monotonic()
        return self._header


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeAddress:
    """One API server. Certificates are PEM; ``*_data`` wins over ``*_file``. ``namespace`` is the context's default."""

    url: str
    token: str = field(default="", repr=False)
    ca_file: Path | None = None
    ca_data: str = field(default="", repr=False)
    client_certificate_file: Path | None = None
    client_key_file: Path | None = None
    client_certificate_data: str = field(default="", repr=False)
    client_key_data: str = field(default="", repr=False)
    server_name: str = ""
    is_verified: bool = True
    namespace: str = "default"
    credentials: Credentials | None = field(default=None, repr=False)

    def who(self) -> Credentials:
        """Return what gives the header: ``credentials`` when given, else the token."""
        if self.credentials is not None:
            return self.credentials
        return StaticCredentials(header=f"Bearer {self.token}") if self.token else NoCredentials()


def tls_context(address: KubeAddress) -> ssl.SSLContext | None:
    """Return the TLS context of an ``https`` address, None for plain http; reads the files.

    Raises OSError, ssl.SSLError.
    """
    if not address.url.startswith("https"):
        return None
    context = ssl.create_default_context(
        cafile=str(address.ca_file) if address.ca_file and not address.ca_data else None,
        cadata=address.ca_data or None,
    )
    if not address.is_verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if address.client_certificate_data:
        _load_pair_from_memory(context, address)
    elif address.client_certificate_file:
        context.load_cert_chain(address.client_certificate_file, address.client_key_file)
    return context


def _load_pair_from_memory(context: ssl.SSLContext, address: KubeAddress) -> None:
    """Load a certificate and key that are only in memory.

    OpenSSL takes files only, so one exists for a moment (0600).
    """
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as pair:
        pair.write(f"{address.client_certificate_data}\n{address.client_key_data}\n")
        pair.flush()
        context.load_cert_chain(pair.name)
