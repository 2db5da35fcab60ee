"""Our data path, by its command and with files, is a data plane (rayfleet.testing.suites.data_plane)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rayfleet.model.json import Json
from rayfleet.testing.gateway_process import GatewayProcess
from rayfleet.testing.suites.data_plane import DataPlaneSuite


class TestGateway(DataPlaneSuite):
    """``rayfleet-gateway --config``."""

    __test__ = True

    @classmethod
    @contextmanager
    def running(cls, objects: tuple[Json, ...], folder: Path) -> Iterator[GatewayProcess]:
        with GatewayProcess(folder, objects) as process:
            yield process
