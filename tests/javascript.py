"""Modules of the page, run by Node: what they compute, beside what Python does."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.conftest import needs

NODE = shutil.which("node") or ""
_SCRIPT = """
import {{ readFileSync }} from "node:fs";
const module = await import({module});
const given = JSON.parse(readFileSync(0, "utf-8"));
console.log(JSON.stringify({expression}));
"""


def evaluate(module: Path, expression: str, given: object = None) -> Any:
    """The value of an expression of ``module``, a file of the page, and of ``given``; both go as JSON."""
    needs(bool(NODE), "node is needed as a command")
    script = _SCRIPT.format(module=json.dumps(module.resolve().as_uri()), expression=expression)
    command = [NODE, "--input-type=module", "-e", script]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
