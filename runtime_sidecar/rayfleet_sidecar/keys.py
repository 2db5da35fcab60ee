"""What the application holds for its routes, by typed keys."""

from aiohttp import web

from rayfleet_sidecar.clock import Clock
from rayfleet_sidecar.engine_client import EngineClient
from rayfleet_sidecar.judge import Judge
from rayfleet_sidecar.settings import SidecarSettings

SETTINGS: web.AppKey[SidecarSettings] = web.AppKey("settings", SidecarSettings)
CLOCK: web.AppKey[Clock] = web.AppKey("clock")
ENGINE: web.AppKey[EngineClient] = web.AppKey("engine", EngineClient)
JUDGE: web.AppKey[Judge] = web.AppKey("judge", Judge)
