"""The pinned packages, asked of a vulnerability service: none has a vulnerability that a newer release mends."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
UVX = str(Path(sys.executable).with_name("uvx"))
SERVICES = ("pypi", "osv")
UNREACHABLE = re.compile("(Connection|Service|HTTP|Proxy|SSL|Request|Timeout)Error|[Ff]ailed to (fetch|resolve)")
"""What uvx and pip-audit write where the index or the service does not answer; anything else fails the test."""
ACCEPTED: dict[str, str] = {}
"""Vulnerability -> why it does not concern this toolkit, and until when it may stay."""


def audit(lock: Path, service: str) -> list[dict[str, Any]] | str:
    """What pip-audit reports of each package of a lock, or why it reports nothing."""
    options = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "-f", "json"]
    command = [UVX, "pip-audit==2.10.1", "-r", str(lock), "-s", service, *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    except subprocess.TimeoutExpired:
        return "no answer in time"
    if not done.stdout.strip():
        reason = done.stderr.strip().splitlines()[-1]
        assert UNREACHABLE.search(done.stderr), reason
        return reason[:200]
    packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    if all("skip_reason" in each for each in packages):
        return str(packages[0]["skip_reason"])
    return packages


def to_mend(packages: list[dict[str, Any]]) -> list[str]:
    """Vulnerabilities that a newer release mends, each with its package and that release."""
    return [
        f"{each['name']} {each['version']}: {found['id']}, mended in {', '.join(found['fix_versions'])}"
        for each in packages
        for found in each.get("vulns", ())
        if found["fix_versions"] and not ACCEPTED.keys() & {found["id"], *found.get("aliases", ())}
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("lock", sorted(ROOT.glob("requirements*.lock")), ids=lambda lock: lock.name)
def test_no_pinned_package_has_a_vulnerability_that_is_mended(lock: Path) -> None:
    reasons = []
    for service in SERVICES:
        answer = audit(lock, service)
        if isinstance(answer, str):
            reasons.append(f"{service}: {answer}")
            continue
        # Each package that the service knows; one that it does not know is no reason to pass over the others.
        assert to_mend(answer) == []
        return
    pytest.skip(f"no vulnerability service answers here ({'; '.join(reasons)})")


def test_a_vulnerability_with_a_mended_release_counts() -> None:
    found = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["1.1"]}
    packages = [
        {"name": "a", "version": "1.0", "vulns": [found, {**found, "id": "PYSEC-2", "fix_versions": []}]},
        {"name": "b", "version": "1.0", "vulns": []},
        {"name": "c", "skip_reason": "not found"},
    ]
    assert to_mend(packages) == ["a 1.0: PYSEC-1, mended in 1.1"]


def test_every_accepted_vulnerability_has_its_reason() -> None:
    assert all(len(reason) > 20 for reason in ACCEPTED.values())
