"""What an engine plugin contributes, as data. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rayfleet.model.ports import ENGINE_PORT
from rayfleet.model.serving import Backend


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLaunch:
    """How one kind of node is started.

    ``script`` is bash text, run as ``/bin/bash -c script`` in the Ray container with
    ``ray.io/overwrite-container-cmd``: on Ray it must run ``eval "$KUBERAY_GEN_RAY_START_CMD"`` itself, and it must end
    when Ray or the engine ends (``rayfleet.plugin.frame`` makes such scripts). ``$POD_IP``, ``$RAY_ADDRESS`` and
    KubeRay's own variables are set. ``environment`` may refer to ``$(POD_IP)``. ``ray_start_params`` are flags of
    ``ray start`` without dashes.
    """

    script: str
    environment: Mapping[str, str] = field(default_factory=dict)
    ray_start_params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficMetrics:
    """Which series of the engine's metrics page tell of its requests; none named: the engine does not tell.

    A series is a metric's name, or that with some of its labels (``http_requests_total{status="5xx"}``): every sample
    that has these labels counts, copies (``MetricMap.copies``) once, and no parts of a total that is told beside them
    under an empty label (``running{priority=""}``). ``running`` and ``waiting`` are gauges of requests. ``steps`` are
    numbers that change as long as the engine works on any of the running ones: those with all labels of a ``running``
    are its own, so that a part of the engine that stands still is seen beside others that work. ``served`` and
    ``failed`` are counters of generations that ended well, and by the engine's fault.
    """

    running: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    served: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineProbe:
    """How the sidecar asks the engine. Paths are under the engine's own port on the head pod.

    ``nodes_path`` answers ``{"alive": [ip, ...], "dead": [ip, ...]}``, Ray's own view of the nodes; it may have a port
    of its own (``nodes_port``), 0 for the engine's. ``traffic`` is what the page at ``metrics_path`` tells of requests.
    ``load_path`` is where the engine's port tells at once how many generations it has taken up and not answered, a
    whole number in a JSON object, as the path and its key, ``/load#server_load``; empty: it does not. It is for engines
    whose page learns of a request only when a step with it has ended.
    ``sleep_path`` and ``wake_path`` are where the engine takes a POST to sleep and to wake, with a query if it wants
    one; empty: it cannot.
    """

    port: int = ENGINE_PORT
    health_path: str = "/health"
    metrics_path: str = "/metrics"
    nodes_path: str = "/nodes"
    nodes_port: int = 0
    traffic: TrafficMetrics = field(default_factory=TrafficMetrics)
    load_path: str = ""
    sleep_path: str = ""
    wake_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What is known of a published image without running it.

    ``ships`` and ``lacks`` are programs (``ray``, ``curl``, ``wget``, ``python3``) that are surely there or surely not;
    of one in neither nothing is known. ``source`` says where that is known from, in words after ``ships no Ray``:
    ``since v0.18``. ``risks`` are known holes that a newer version closes, one sentence each.
    """

    image: str
    ships: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    source: str = ""
    risks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricMap:
    """Where the engine's metrics page tells what every engine tells: by the common name, ``rayfleet_engine_FIELD``.

    Each names sources in the order of preference, and the first that a page has counts: so one map holds for several
    versions of an engine. A source is a series as in ``TrafficMetrics``, or the sum of several (``a + b``); of a
    histogram it is the name without ``_bucket``. All samples of a series are added up, or averaged for a ratio; of
    those that differ by the labels in ``copies`` alone (ranks that all tell of the same requests) only the greatest
    counts. ``kv_cache_usage_ratio`` is from 0 to 1. Tokens of prompts are all of them, found in a prefix cache or not;
    queries and hits of that are tokens too.
    """

    requests_running: tuple[str, ...] = ()
    requests_waiting: tuple[str, ...] = ()
    kv_cache_usage_ratio: tuple[str, ...] = ()
    prefix_cache_queries_total: tuple[str, ...] = ()
    prefix_cache_hits_total: tuple[str, ...] = ()
    prompt_tokens_total: tuple[str, ...] = ()
    generation_tokens_total: tuple[str, ...] = ()
    preemptions_total: tuple[str, ...] = ()
    time_to_first_token_seconds: tuple[str, ...] = ()
    inter_token_latency_seconds: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchPlan:
    """Everything that differs between engines when a RayCluster is rendered from ``spec.serving``.

    ``image``, ``ray_version`` and the environments are the engine's own: what the manifest names wins over them,
    and that is the core's business, not the engine's. ``backend`` is how the engine spans its nodes, never
    ``AUTO``, and ``backend_reason`` a clause that says why it is that one. On Ray every worker is started as
    ``worker`` says. Without Ray each has a rank of its own: ``ranks`` are the nodes after the head, in order, and
    ``worker`` is the first of them, or the head where there is none. ``facts`` are what the engine knows of the
    image that it is started in, None when nothing is known. ``metrics`` is where its page tells what every engine
    tells. ``bring`` is a shell command, one process, that brings the model to a node in that image before anything
    is started there, safe to repeat and to run beside a replica; empty: nothing is brought.
    """

    image: str
    ray_version: str
    head: NodeLaunch
    worker: NodeLaunch
    probe: EngineProbe
    bring: str = ""
    backend: Backend = Backend.RAY
    backend_reason: str = ""
    ranks: tuple[NodeLaunch, ...] = ()
    facts: ImageFacts | None = None
    metrics: MetricMap = field(default_factory=MetricMap)

    def expected_ray_nodes(self, nodes: int) -> int:
        """Return how many Ray nodes the sidecar has to see alive in a replica of that many nodes."""
        return nodes if self.backend is Backend.RAY else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalEnvironment:
    """Where the commands of an image are found when the node runs pods as plain processes.

    ``images`` are names, which stand for every tag and digest of theirs too. ``cache_folder`` is the folder under
    ``$RAYFLEET_CACHE`` that holds a virtual environment, empty for the one that runs the node. ``way_out`` tells how to
    make it (``run `make engines```).
    """

    name: str
    images: tuple[str, ...]
    cache_folder: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    way_out: str = ""

    def stands_for(self, image: str) -> bool:
        """Return whether ``image`` (``name``, ``name:tag`` or ``name@digest``) is one of these."""
        return any(image == name or image.startswith((f"{name}:", f"{name}@")) for name in self.images)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCommand:
    """What a command line that a person wrote asks of an engine.

    ``model`` is what it loads, empty where that cannot be told. ``tensor``, ``pipeline`` and ``data`` as the engine's
    flags say, 1 each when they are silent, and so are ``expert_ranks``, over which experts are spread. It will listen
    on ``port``. ``probe`` is how a sidecar asks such an engine, None where it cannot be asked for a token over plain
    HTTP (it wants a key that stands in the command, it speaks TLS, it makes embeddings); ``metrics`` is where its page
    tells what every engine tells. ``key_variable`` is the environment variable that it takes a key from, if any.
    """

    engine: str
    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    port: int = ENGINE_PORT
    probe: EngineProbe | None = None
    metrics: MetricMap = field(default_factory=MetricMap)
    key_variable: str = ""
    model: str = ""
    expert_ranks: int = 1

    @property
    def ranks(self) -> int:
        """Accelerators that it needs, one a rank."""
        return self.tensor * self.pipeline * self.data
