"""What is told of a bundle to whoever uses it: by ``/v1/model``, and by a site that runs it in the browser."""

from __future__ import annotations

from typing import Any

from emotions.bundle.bundle import Bundle
from emotions.bundle.summary import figures, protocol_of, warnings
from emotions.bundle.targets import written_targets


def description(bundle: Bundle) -> dict[str, Any]:
    """Targets and labels, licences, what to beware of, what was measured, and the window."""
    manifest = bundle.manifest
    return {
        "bundle": bundle.id,
        "name": manifest.name,
        "targets": manifest.labels,
        **({"dimensions": written_targets(manifest.dimensions, manifest.ranges)} if manifest.ranges else {}),
        "license": (manifest.encoder or {}).get("license"),
        "data_license": manifest.dataset.license if manifest.dataset else None,
        "warnings": warnings(manifest),
        "measured": {"protocol": protocol_of(manifest), **dict(figures(manifest.metrics))},
        "sample_rate": manifest.sample_rate,
        "window": manifest.window.model_dump(),
    }
