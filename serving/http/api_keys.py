"""API keys. A file holds a line for each, ``name sha256``; a key itself is shown once, when it is made."""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import Scope

from emotions.errors import ConfigError, Fault
from serving.http.errors import RequestError, of_status
from serving.settings import ALLOW_ANONYMOUS, API_KEYS_FILE, Settings
from serving.telemetry.requests import RequestContext

_LINE = re.compile(r"([A-Za-z0-9._-]{1,64})\s+([0-9a-f]{64})")
_PREFIX = "emo_"
_MAX_BYTES = 1 << 20
_REMEMBERED = 16
"""Addresses of which it is remembered whether they are loopback: a server has a few."""


@dataclass(frozen=True)
class ApiKeyAuth:
    """Who may come in: whoever has a key; without ``keys``, this machine, and others too where ``anonymous``."""

    keys: Mapping[str, bytes] | None = None
    anonymous: bool = False

    def check(self, scope: Scope, context: RequestContext, presented: str | None = None) -> None:
        """Let a request in, and note the name of its key; 401 without a known key, where one is needed.

        Args:
            scope: ASGI scope of the request.
            context: its context.
            presented: the key that came with it; None for that in its headers.
        """
        if context.route.public:
            return
        if self.keys is not None:
            presented = presented_key(Headers(scope=scope)) if presented is None else presented
            context.key = _key_name(self.keys, presented)
        elif not self.anonymous:
            address = str((scope.get("server") or ("",))[0])  # none: a Unix socket, or a test
            if not _is_loopback(address, if_no_address=True):
                message = "the service knows no API keys, and answers this machine alone"
                raise RequestError(401, "unauthorized", message)


def read_auth(settings: Settings) -> ApiKeyAuth:
    """The API keys of the settings. Raises as ``read_keys``."""
    keys = None if settings.api_keys_file is None else read_keys(settings.api_keys_file)
    return ApiKeyAuth(keys, settings.allow_anonymous)


def check_exposure(host: str, settings: Settings) -> None:
    """Refuse to listen beyond this machine without keys.

    Args:
        host: address or name to listen on.
        settings: the service's settings.

    Raises:
        ConfigError: ``host`` is no loopback address, there is no file of keys, and anonymous access is not allowed.
    """
    if (
        settings.api_keys_file is None
        and not settings.allow_anonymous
        and not _is_loopback(host, if_no_address=host == "localhost")
    ):
        raise ConfigError(
            f"{host} can be reached from other machines: name a file of API keys in {API_KEYS_FILE} "
            f"('emotions serve-key' makes one), or set {ALLOW_ANONYMOUS}=1 to answer whoever asks"
        )


def read_keys(path: Path) -> dict[str, bytes]:
    """Name -> SHA-256 of each key in a file; empty lines and those that start with ``#`` are skipped.

    Raises:
        ConfigError: it cannot be read, a line is not ``name sha256``, a name is there twice, or there is no key.
    """
    try:
        with path.open("rb") as file:
            lines = file.read(_MAX_BYTES).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{API_KEYS_FILE}: {path}: cannot be read ({error})") from error
    keys: dict[str, bytes] = {}
    faults = []
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line.strip())
        if found and found[1] not in keys:
            keys[found[1]] = bytes.fromhex(found[2])
        elif found or (line.strip() and not line.startswith("#")):
            remedy = "the name is there already" if found else "a line is: name, a space, SHA-256 in hexadecimal"
            faults.append(Fault(f"line {number}", "", remedy))
    if faults or not keys:
        raise ConfigError(f"{path}: " + ("is no file of API keys:" if faults else "holds no API key"), faults)
    return keys


def add_key(path: Path, name: str) -> str:
    """Generate a key, and append its hash to a file, which is created with mode 0600 where there is none.

    Args:
        path: the file of keys.
        name: whose key it is.

    Raises:
        ConfigError: the name is not allowed or is there already, or the file cannot be read or written.
    """
    key = _PREFIX + secrets.token_urlsafe(32)
    line = f"{name} {hashlib.sha256(key.encode()).hexdigest()}"
    if not _LINE.fullmatch(line):
        raise ConfigError(f"{name!r} cannot name a key: letters, digits, '.', '_' and '-', at most 64")
    if path.exists() and name in read_keys(path):
        raise ConfigError(f"{path}: has a key of the name {name!r} already; name another, or delete its line")
    try:
        unfinished_line = path.exists() and not path.read_bytes().endswith(b"\n")
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w", encoding="utf-8") as file:
            file.write(f"{chr(10) if unfinished_line else ''}{line}\n")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from error
    return key


def presented_key(headers: Headers) -> str:
    """The key in the headers of a request; empty where there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")


def _key_name(keys: Mapping[str, bytes], presented: str) -> str:
    """Name of a presented key. It is compared with all of them, in constant time, against timing attacks."""
    digest = hashlib.sha256(presented.encode("utf-8", "surrogateescape")).digest()
    matching = [name for name, known in keys.items() if hmac.compare_digest(digest, known)]
    if not matching:
        raise of_status(401)
    return matching[0]


@functools.lru_cache(_REMEMBERED)
def _is_loopback(address: str, *, if_no_address: bool) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return if_no_address
