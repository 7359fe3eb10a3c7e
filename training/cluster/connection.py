"""Connect to Ray: an existing cluster, or one on this machine for the duration of the run."""

from __future__ import annotations

import logging
import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from emotions.errors import ConfigError, first_line

_TELEMETRY = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TRAIN_ENABLE_STATE_TRACKING": "0"}
_CONNECT_SEC = 5.0
_TOKEN = Path.home() / ".ray" / "auth_token"
# A socket's path has at most 107 bytes, of which Ray needs about 70 below its folder.
_MAX_FOLDER_BYTES = 36
_ATTEMPTS, _PAUSE_SEC = 3, 1.0
_NOT_STARTED = "Starting Ray client server failed"


@contextmanager
def connected(
    address: str | None, cpus: int, key: str, session: Path | None = None, environment: dict[str, Any] | None = None
) -> Iterator[Any]:
    """Ray, connected to a cluster, or to a new one on this machine, which ends with the block.

    Args:
        address: ``auto``, ``ray://host:10001`` or ``host:6379``; None starts one here.
        cpus: cores of a new cluster.
        key: the setting that the address comes from, for errors.
        session: folder of a new cluster's session files; Ray's default where its path is too long.
        environment: Ray's runtime environment.

    Raises:
        ConfigError: the cluster does not answer.
    """
    os.environ.update(_TELEMETRY)
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)  # Ray's, of its own modules
        if address is not None and address != "auto":
            _check_address(address, key)
        if address is not None and address.startswith("ray://") and _TOKEN.is_file():
            os.environ.setdefault("RAY_AUTH_MODE", "token")  # as Ray does by itself for other addresses
        import ray

        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "runtime_env": environment}
        if address is None:
            options.update(address="local", include_dashboard=False, num_cpus=cpus, _temp_dir=_session_folder(session))
        else:
            options.update(address=address)
        try:
            _initialise(ray, options)
        except (ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
            raise _no_answer(address, key, error) from error
        try:
            yield ray
        finally:
            ray.shutdown()


def _initialise(ray: Any, options: dict[str, Any]) -> None:
    """Initialise Ray; again where a busy head node could not start the process that serves a client."""
    for _ in range(_ATTEMPTS - 1):
        try:
            ray.init(**options)
        except ConnectionError as error:
            if _NOT_STARTED not in str(error):
                raise
            time.sleep(_PAUSE_SEC)
        else:
            return
    ray.init(**options)


def _session_folder(session: Path | None) -> str | None:
    if session is None or len(str(session).encode()) > _MAX_FOLDER_BYTES:
        return None
    session.mkdir(parents=True, exist_ok=True)
    return str(session)


def _check_address(address: str, key: str) -> None:
    """Test whether a server listens: Ray itself would retry for minutes, and may end the process."""
    parts = urlsplit(address if "://" in address else f"ray://{address}")
    try:
        if not parts.hostname or not parts.port:
            raise ValueError('it is neither "auto" nor host:port')
        socket.create_connection((parts.hostname, parts.port), _CONNECT_SEC).close()
    except (OSError, ValueError) as error:
        raise _no_answer(address, key, error) from error


def _no_answer(address: str | None, key: str, error: Exception) -> ConfigError:
    reason = first_line(error)
    if reason.endswith(":"):  # the server's traceback follows, whose last line is the cause
        reason = f"{reason} {str(error).strip().splitlines()[-1]}"
    return ConfigError(
        f"{key}: no Ray cluster answers at {address!r} ({reason}); start one with `ray start --head`, "
        f"or leave {key} out to use this machine"
    )


def run_packed(call: bytes) -> None:
    """Run a pickled function with its arguments, in a process of the cluster.

    Bytes, because Ray's client server unpickles arguments in several threads, which must not import torch at once.
    """
    import ray.cloudpickle

    function, arguments = ray.cloudpickle.loads(call)
    function(*arguments)


def check_room(resources: dict[str, float], needed: dict[str, float], found: str) -> None:
    """Refuse more resources than a cluster has, with a ConfigError: Ray would wait for them for ever.

    Args:
        resources: resource -> amount in the cluster.
        needed: resource -> amount that is needed at once.
        found: the setting and its value, for the error.
    """
    for name, least in needed.items():
        available = resources.get(name, 0)
        if available < least:
            raise ConfigError(f"{found}, which need {least:g} {name}s; the cluster has {available:g}")
