"""``emotions predict --page``: the table of a folder run and each recording over time, as one file for a browser.

It asks for nothing but the recordings, which stay where they are and are named relative to it. The parts are those of
the service's page.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from emotions.audio.decode import SAMPLE_RATE
from emotions.bundle.bundle import Bundle
from emotions.bundle.description import description
from emotions.errors import AudioError, ConfigError, OutputExists
from emotions.files.atomic import write_bytes
from emotions.files.html.one_script import STRIP, one_script
from emotions.folder.result import FileResult
from emotions.inputs.input_file import InputFile, is_url
from emotions.runtime.prediction import Prediction, WindowPrediction
from serving.batch.timeline import level

MOST_FILES, MOST_PARTS = 2_000, 500_000
"""Recordings, and windows and segments of all of them: a page of more would not open. The table has them all."""
_PEAKS, _DIGITS = 1_000, 4
_PARTS = Path(__file__).parents[2] / "http" / "page" / "files"
_OWN = Path(__file__).parent / "files"
_MODULES = (
    *("text.js", "parts.js", "pcm.js", "peaks.js", "vendor/regions.esm.js", "vendor/wavesurfer.esm.js"),
    *("wave.js", "table.js", "card.js"),
)
_LANGUAGES = ("en", "ru")
_POLICY = (
    "default-src 'none'; script-src 'sha256-{script}'; style-src 'nonce-{nonce}'; media-src 'self' file: blob:; "
    "img-src data:; base-uri 'none'; form-action 'none'"
)


def check_page(path: Path, *, replaced: bool) -> None:
    """Refuse a page that cannot be written, before anything is computed.

    Args:
        path: of the page.
        replaced: whether one that is there may be.

    Raises:
        ConfigError: it has not the ending of one. OutputExists: it is there.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--page {path}: its name ends in .html")
    if path.exists() and not replaced:
        raise OutputExists(f"{path}: is there already; name another --page, or give --overwrite")


class ReportPage:
    """Gathers results for a page.

    Args:
        path: of the page.
        files: the recordings, to find each again.
    """

    def __init__(self, path: Path, files: Iterable[InputFile]) -> None:
        self._path = path
        self._files = {(file.name, file.start, file.end, file.channel, file.speaker): file for file in files}
        self._rows: list[dict[str, Any]] = []
        self._parts = self._left = 0

    def add(self, result: FileResult) -> None:
        """Take the result of a recording."""
        count = 0 if result.prediction is None else len(result.prediction.windows) + len(result.prediction.segments)
        if len(self._rows) >= MOST_FILES or self._parts + count > MOST_PARTS:
            self._left += 1
            return
        self._parts += count
        file = self._files[result.name, result.start, result.end, result.channel, result.speaker]
        self._rows.append(_row(file, result, self._path))

    def write(self, bundle: Bundle, device: str, variant: str) -> None:
        """Write the page.

        Args:
            bundle: what classified.
            device: where.
            variant: in which form.
        """
        model = {**description(bundle), "device": device, "variant": variant}
        given = {"model": model, "files": self._rows, "left": self._left}
        write_bytes(self._path, _page(given).encode())


def _row(file: InputFile, result: FileResult, page: Path) -> dict[str, Any]:
    place = {"channel": result.channel} if result.channel is not None else {}
    name = result.name if result.start is None else f"{result.name} ({result.start:g} to {result.end or 0:g} s)"
    if result.prediction is None:
        return {"name": name, "error": result.error or "", "answer": place}
    return {
        "name": name,
        "src": _source(file, page),
        "peaks": _peaks(file, result.prediction),
        "answer": {**place, **_answer(result.prediction)},
    }


def _source(file: InputFile, page: Path) -> str:
    """Where a recording lies, seen from the page; empty for a segment, which begins elsewhere, and for a URL."""
    if is_url(file.source) or file.start is not None:
        return ""
    return quote(Path(os.path.relpath(file.path.absolute(), page.absolute().parent)).as_posix())


def _peaks(file: InputFile, prediction: Prediction) -> list[int]:
    """The outline of a recording, in hundredths; flat where it cannot be read any more."""
    try:
        found = level(file, round(prediction.duration_sec * SAMPLE_RATE), _PEAKS)
    except (AudioError, OSError):
        return [0]
    return [round(100 * each) for each in found.tolist()]


def _answer(prediction: Prediction) -> dict[str, Any]:
    known = bool(prediction.probabilities)
    answer: dict[str, Any] = {
        "label": prediction.label if known else None,
        "confidence": prediction.confidence if known else None,
        "probabilities": prediction.probabilities,
        **({"values": prediction.values} if prediction.values else {}),
        "duration_sec": prediction.duration_sec,
        "warnings": [*prediction.warnings],
        "windows": _written(prediction.windows),
        **({"segments": _written(prediction.segments)} if prediction.segments else {}),
    }
    if unknowns := prediction.unknown:
        first = next(iter(prediction.probabilities))
        answer |= {"unknown": unknowns.get(first, False), "unknowns": unknowns}
    return answer


def _written(parts: Sequence[WindowPrediction]) -> list[list[float]]:
    """Start, end and all scores of each part, in the order of the targets."""

    def scores(named: Mapping[str, Mapping[str, float]]) -> list[float]:
        return [round(score, _DIGITS) for values in named.values() for score in values.values()]

    return [
        [round(part.start, 3), round(part.end, 3), *scores(part.probabilities), *scores(part.values)] for part in parts
    ]


def _page(given: Mapping[str, Any]) -> str:
    """The page's own file with all that it needs inside: styles, script, texts, and what is shown."""
    nonce, script = secrets.token_urlsafe(16), f"\n{_script()}\n"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = _POLICY.format(script=digest, nonce=nonce)
    style = (_PARTS / "style.css").read_text(encoding="utf-8")
    page = (_PARTS / "index.html").read_text(encoding="utf-8").replace("{{nonce}}", nonce)
    lines = [line for line in page.splitlines() if "/page/" not in line]  # what it would load from a service
    first, last = (
        f'<meta charset="utf-8">\n<meta http-equiv="content-security-policy" content="{policy}">\n'
        '<meta name="referrer" content="no-referrer">',
        f'{_data("texts", _texts())}{_data("given", given)}<script type="module">{script}</script>\n</body>',
    )
    return (
        "\n".join([*lines, ""])
        .replace("<html ", '<html class="local report" ', 1)
        .replace('<meta charset="utf-8">', first, 1)
        .replace("</head>", f'<style nonce="{nonce}">\n{style}</style>\n</head>', 1)
        .replace("</body>", last, 1)
    )


def _data(name: str, value: Any) -> str:
    """JSON in the page; no text in it can end the script that it stands in."""
    written = json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{written}</script>\n'


def _script() -> str:
    paths = [STRIP, *(_PARTS / name for name in _MODULES), _OWN / "report.js"]
    return one_script(paths, _PARTS)


def _texts() -> dict[str, Any]:
    found = {}
    for language in _LANGUAGES:
        own = json.loads((_OWN / f"texts.{language}.json").read_text(encoding="utf-8"))
        found[language] = json.loads((_PARTS / f"{language}.json").read_text(encoding="utf-8")) | own
    return found
