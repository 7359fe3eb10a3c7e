"""The service's settings: environment variables ``EMOTIONS_*``, or a file of them, all validated at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from emotions.bundle.named import NamedPaths
from emotions.errors import ConfigError, Fault
from emotions.files.json_text import read_json
from emotions.pipeline.validation import unknown
from emotions.runtime.cores import available_cores
from emotions.runtime.devices import gpu_count
from emotions.runtime.session import DeviceChoice

SUPERVISOR = "_EMOTIONS_SUPERVISOR_PID"
"""Variable with the id of the process that starts the workers; it sets it for them."""
PREFIX = "EMOTIONS_"
CONFIG = f"{PREFIX}CONFIG"
"""Names a JSON file of settings, whose keys are those of ``Settings``; a setting's own variable takes precedence."""

API_KEYS_FILE = f"{PREFIX}API_KEYS_FILE"
ALLOW_ANONYMOUS = f"{PREFIX}ALLOW_ANONYMOUS"
CORS_ORIGINS = f"{PREFIX}CORS_ORIGINS"

LogFormat = Literal["text", "json"]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_MOST_SAMPLES_A_SECOND = 2 * 192_000
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


def _origin(written: str) -> str:
    """An origin as browsers send it: in small letters, without a slash at its end and its scheme's own port."""
    origin = written.lower().removesuffix("/")
    for own_port in ("http://:80", "https://:443"):
        scheme, _, port = own_port.rpartition(":")
        if origin.startswith(scheme):
            origin = origin.removesuffix(f":{port}")
    if origin != "*" and not _ORIGIN.fullmatch(origin):
        raise PydanticCustomError("origin", "an origin is SCHEME://HOST or SCHEME://HOST:PORT, in ASCII; or * for all")
    return origin


def _split(written: Any) -> Any:
    return [part for part in re.split(r"[\s,]+", written) if part] if isinstance(written, str) else written


Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(_split)]


def _proxy(written: str) -> str:
    """An address, a network, or ``*``."""
    try:
        return written if written == "*" else str(ip_network(written)).removesuffix("/32").removesuffix("/128")
    except ValueError as error:
        raise PydanticCustomError("proxy", "a proxy is an IP address, a network such as 10.0.0.0/8, or *") from error


Proxies = Annotated[tuple[Annotated[str, AfterValidator(_proxy)], ...], BeforeValidator(_split)]

_LEAST_HELD_BYTES = 384 << 20


class Settings(BaseModel):
    """The service's settings; each is read from the variable of its name in capitals, ``EMOTIONS_MAX_BATCH`` and so on,
    else from the file that ``EMOTIONS_CONFIG`` names.

    Attributes:
        bundle: the bundle to serve; None for the newest in ``bundles``.
        bundles: further bundles, or all of them, by the name that each has in the URL: ``NAME=PATH,NAME=PATH``, or an
            object; a path without a name is a bundle, or a folder of bundles, which have the names of their folders.
            Without ``bundle`` the first is the one of the routes without a name.
        shadow: a bundle that answers beside the default one, on the CPU, for the metrics alone.
        shadow_share: share of the recordings that it answers, 0 to 1.
        reload_sec: seconds between two looks at whether the paths of bundles lead to newer ones, which then take over;
            0 for never.
        device: where the model runs; ``auto`` takes a usable GPU, else the CPU.
        variant: which form of the model; None or ``auto`` for the one that suits the device.
        threads: CPU threads of the model in one worker; None shares the cores among the workers.
        parallel_batches: batches that one worker runs at once, which share its threads; None for one a thread on a CPU,
            at most 4, and two on a GPU.
        max_batch: most windows in one batch; None for 64 on a GPU and 16 on a CPU.
        max_bytes: largest recording, in bytes.
        max_items: most recordings in one request to ``/v1/predict/batch``.
        max_items_bytes: largest such request, in bytes.
        max_seconds: longest recording, in seconds.
        max_samples: most samples of all its channels, as recorded; None for ``max_seconds`` of stereo at 192 kHz.
        strict: whether a recording of which a part is missing is refused, with 415, rather than classified as far as it
            goes and marked.
        max_queue_sec: most seconds of audio that wait for the model in one worker.
        max_in_flight: most requests in one worker; one more is answered with 429.
        max_receiving: most requests in one worker whose bodies are arriving; where there are more, the slowest ends.
        min_body_rate: bytes a second at which a body must arrive, over any time longer than ``body_grace_sec``.
        body_grace_sec: seconds for which less may come.
        body_sec: most seconds until a body is there.
        max_held_bytes: most bytes of bodies that one worker holds, in memory and in its temporary folder; None for
            three of the largest request, at least 384 MiB.
        max_json_bytes: most bytes of JSON, apart from recordings in it.
        max_connections: most connections to one worker; where there are more, the one idle for longest is closed.
        max_header_bytes: most bytes of a request's line and headers together.
        max_header_count: most headers of a request.
        header_sec: seconds until the headers are there.
        trusted_proxies: addresses or networks of proxies whose ``X-Forwarded-For`` names the client, separated by
            commas; ``*`` for all.
        timeout_sec: seconds that a request may take, upload included.
        drain_sec: most seconds that requests in flight get at SIGTERM.
        drain_delay_sec: seconds before that in which new connections are still taken, while ``/readyz`` says 503.
        workers: processes, each with its own model; None for one a GPU, each on its own, or one on a CPU.
        decode_threads: recordings that one worker decodes at a time; None for one a core.
        decoder_memory: bytes that a decoder process may use for a recording, in addition to the recording's own.
        decoder_cpu_sec: seconds of processor time that it may use for one.
        api_keys_file: file of the API keys, as ``emotions serve-key`` writes it.
        allow_anonymous: whether to listen beyond this machine without such a file.
        cors_origins: sites whose pages may call the service from a browser, separated by commas; ``*`` for all.
        max_streams: most streams (``/v1/stream``) in one worker; a further one is told ``limit``.
        stream_sec: most seconds of a stream, and of the audio in it.
        stream_idle_sec: seconds without a message after which a stream is ended.
        stream_ahead_sec: seconds by which its audio may run ahead of real time; None for as fast as the model is.
        drift_window: last recordings of one worker that are compared with the bundle's reference; 0 for none.
        ui: whether there is a page at ``/``, for a microphone and files.
        log_format: ``text`` or ``json``.
        trace_rate: share of requests whose spans are recorded, 0 to 1; where they go is BentoML's configuration.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundle: Path | None = None
    bundles: NamedPaths = ()
    reload_sec: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    shadow: Path | None = None
    shadow_share: Annotated[float, Field(ge=0, le=1)] = 1.0
    device: DeviceChoice = "auto"
    variant: Annotated[str, Field(min_length=1)] | None = None
    threads: Count | None = None
    parallel_batches: Count | None = None
    max_batch: Count | None = None
    max_bytes: Annotated[int, Field(ge=1)] = 32 << 20
    max_items: Count = 64
    max_items_bytes: Annotated[int, Field(ge=1)] = 128 << 20
    max_seconds: Seconds = 600.0
    max_samples: Annotated[int, Field(ge=1)] | None = None
    strict: bool = False
    max_queue_sec: Seconds = 3600.0
    max_in_flight: Count = 256
    max_receiving: Count = 256
    min_body_rate: Count = 1024
    body_grace_sec: Seconds = 10.0
    body_sec: Seconds = 25.0
    max_held_bytes: Annotated[int, Field(ge=1)] | None = None
    max_json_bytes: Annotated[int, Field(ge=1)] = 1 << 20
    max_connections: Count = 2048
    max_header_bytes: Annotated[int, Field(ge=256, le=1 << 20)] = 32 << 10
    max_header_count: Annotated[int, Field(ge=1, le=10_000)] = 100
    header_sec: Seconds = 10.0
    trusted_proxies: Proxies = ()
    timeout_sec: Seconds = 30.0
    drain_sec: Seconds = 25.0
    drain_delay_sec: Annotated[float, Field(ge=0, le=600)] = 0.0
    workers: Count | None = None
    decode_threads: Count | None = None
    decoder_memory: Annotated[int, Field(ge=1)] = 256 << 20
    decoder_cpu_sec: Count = 10
    api_keys_file: Path | None = None
    allow_anonymous: bool = False
    cors_origins: Origins = ()
    max_streams: Count = 256
    stream_sec: Seconds = 3600.0
    stream_idle_sec: Seconds = 30.0
    stream_ahead_sec: Seconds | None = None
    drift_window: Annotated[int, Field(ge=0, le=100_000)] = 500
    ui: bool = True
    log_format: LogFormat = "text"
    trace_rate: Annotated[float, Field(ge=0, le=1)] = 0.0

    @property
    def cores(self) -> int:
        """CPU cores for each worker."""
        return max(1, available_cores() // self.processes)

    @property
    def model_threads(self) -> int:
        """CPU threads of the model in each worker."""
        return self.threads or self.cores

    @property
    def sample_limit(self) -> int:
        """Most samples of all channels of a recording."""
        return self.max_samples or int(self.max_seconds * _MOST_SAMPLES_A_SECOND)

    @property
    def processes(self) -> int:
        """Processes, each with its own model."""
        return self.workers or max(1, self.gpus)

    @property
    def gpus(self) -> int:
        """GPUs that the model may run on."""
        return 0 if self.device == "cpu" else gpu_count()

    @property
    def held_bytes(self) -> int:
        """Most bytes of bodies that one worker holds."""
        return self.max_held_bytes or max(_LEAST_HELD_BYTES, 3 * max(self.max_items_bytes, 2 * self.max_bytes))

    def batch_limit(self, device: str) -> int:
        """Most windows in one batch on ``device``."""
        return self.max_batch or (64 if device == "cuda" else 16)


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from an environment and the file that it names; an empty variable counts as not set.

    Raises:
        ConfigError: values that are not allowed, each named by its variable or its key in the file; or the file cannot
            be read, is not JSON, or holds other things than settings.
    """
    file = Path(environment[CONFIG]) if environment.get(CONFIG) else None
    written = {} if file is None else _read_file(file)
    variables = {name: f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    given = {name: environment[variable] for name, variable in variables.items() if environment.get(variable)}
    places = {**{name: f"{file}: {name}" for name in written}, **{name: variables[name] for name in given}}
    try:
        return Settings.model_validate({**written, **given})
    except ValidationError as error:
        raise ConfigError("the service's settings:", [_fault(fault, places) for fault in error.errors()]) from error


def _read_file(file: Path) -> dict[str, Any]:
    """The content of a file of settings; only the names are checked."""
    written = read_json(file)
    if not isinstance(written, dict):
        raise ConfigError(f'{file}: is no object of settings such as {{"max_in_flight": 64}}')
    known = [*Settings.model_fields]
    unknown_names = [name for name in written if name not in known]
    if faults := [Fault(f"{file}: {name}", "no such setting", unknown(name, known)) for name in unknown_names]:
        raise ConfigError("the service's settings:", faults)
    return written


def _fault(fault: Any, places: Mapping[str, str]) -> Fault:
    message = str(fault["msg"])
    return Fault(places[str(fault["loc"][0])], f"got {fault['input']!r}", message[:1].lower() + message[1:])
