"""A bundle as a static site: the page, the model and its runtime, answered in the browser of whoever opens it."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotions.audio.speech.network import network_file
from emotions.bundle.bundle import Bundle
from emotions.bundle.description import description
from emotions.bundle.probe import read_probe
from emotions.errors import BundleError, ConfigError
from emotions.files.atomic import atomic_folder
from emotions.files.html.one_script import STRIP
from emotions.files.json_text import write_json
from emotions.runtime.probe_replay import probe_tolerance
from serving.http.page.static_site.runtime import Runtime
from serving.http.page.static_site.trial import trial

MOST_BYTES = 512 * 10**6
"""Bytes of a model: a browser holds it twice while it loads, and its graph's memory, in 4 GB at most."""
_LIMITS = {"max_bytes": 512 * 10**6, "max_seconds": 3600}
_PAGE = Path(__file__).parents[1] / "files"
_OWN = Path(__file__).parent / "files"
_LANGUAGES = ("en", "ru")
_OTHERS_WEIGHTS = ".data"
_POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'nonce-{nonce}'; "
    "media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class Site:
    """A site that was written.

    Attributes:
        path: its folder.
        model_bytes: of the model.
        site_bytes: of all files, as they lie there.
        speed: of the model as it was tried, in words.
        speech: whether it finds speech.
    """

    path: Path
    model_bytes: int
    site_bytes: int
    speed: str
    speech: bool


def write_site(bundle: Bundle, output: Path, runtime: Runtime, *, variant: str = "fp32", readme: str = "") -> Site:
    """Write a bundle as a static site.

    Args:
        bundle: an opened bundle.
        output: folder to write; it must not be there yet.
        runtime: what runs it.
        variant: the form of the model that is taken along.
        readme: content of a README.md beside it.

    Raises:
        BundleError: a browser cannot hold the model, or its runtime cannot run it, or answers its probe otherwise.
        OutputExists: ``output`` is there already.
        DiskFull: there is no room for it.
    """
    check_fits(bundle, variant)
    speech = _speech()
    with atomic_folder(output) as folder:
        _write_page(folder)
        for name, content in runtime.files.items():
            _write(folder / "runtime" / name, content)
        _write_model(folder / "model", bundle, variant, speech, webgpu="ort.webgpu.min.mjs" in runtime.files)
        _write_worker(folder, nonce := secrets.token_urlsafe(16))
        _write_index(folder, nonce)
        if readme:
            _write(folder / "README.md", readme.encode())
        speed = trial(folder)
    total = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
    return Site(output, bundle.manifest.variants[variant].bytes, total, speed, speech=speech is not None)


def check_fits(bundle: Bundle, variant: str) -> None:
    """Refuse a form of a model that no browser can hold, and say why. Args and Raises as ``write_site``."""
    variants = bundle.manifest.variants
    usable = [name for name, each in variants.items() if each.file.endswith(".onnx") and each.device != "cuda"]
    if variant not in usable:
        raise BundleError(f"{bundle.path}: has no variant {variant!r} for a browser; it has {', '.join(usable)}")
    chosen = variants[variant]
    if chosen.file + _OTHERS_WEIGHTS in bundle.manifest.files:
        raise BundleError(
            f"{bundle.path}: the weights of {variant} lie in a file of their own, as those of models above 2 GB do; a "
            "browser's memory ends at 4 GB, so it cannot be run there"
        )
    if chosen.bytes > MOST_BYTES:
        smaller = [name for name in usable if variants[name].bytes <= MOST_BYTES]
        remedy = f"; --variant {smaller[0]} is small enough" if smaller else "; serve it instead: emotions serve"
        raise BundleError(
            f"{bundle.path}: {variant} has {chosen.bytes / 1e6:.0f} MB; a browser takes at most {MOST_BYTES / 1e6:.0f} "
            f"MB, which it holds twice while it loads{remedy}"
        )


def _speech() -> Path | None:
    """The network that finds speech, where its package is installed."""
    try:
        return network_file()
    except ConfigError:
        return None


def _write_page(folder: Path) -> None:
    """The page's own files, some of them replaced by those that answer in the browser."""
    page = folder / "page"
    shutil.copytree(_PAGE, page, ignore=shutil.ignore_patterns("index.html"))
    shutil.copyfile(STRIP, page / STRIP.name)
    shutil.copytree(_OWN / "browser", page / "browser")
    shutil.copyfile(_OWN / "service.js", page / "service.js")
    shutil.copyfile(_OWN / "LICENSES.txt", folder / "LICENSES.txt")
    for language in _LANGUAGES:
        texts = json.loads((_PAGE / f"{language}.json").read_text(encoding="utf-8"))
        own = json.loads((_OWN / f"texts.{language}.json").read_text(encoding="utf-8"))
        (page / f"{language}.json").write_text(json.dumps(texts | own, ensure_ascii=False, indent=1), encoding="utf-8")


def _write_model(folder: Path, bundle: Bundle, variant: str, speech: Path | None, *, webgpu: bool) -> None:
    manifest, chosen = bundle.manifest, bundle.manifest.variants[variant]
    folder.mkdir()
    shutil.copyfile(bundle.file(variant), folder / "model.onnx")
    about: dict[str, Any] = {
        "file": "model/model.onnx",
        "bytes": chosen.bytes,
        "sha256": chosen.sha256,
        "variant": variant,
        "outputs": manifest.targets,
        "ranges": {target: [*bounds] for target, bounds in manifest.ranges.items()},
        "window": manifest.window.model_dump(),
        "pooling": manifest.pooling,
        "thresholds": {target: least if least <= 1 else None for target, least in manifest.thresholds.items()},
        "tolerance": probe_tolerance(bundle, variant),
        "limits": _LIMITS,
        "webgpu": webgpu,
        "speech": _write_speech(folder, speech),
        "described": description(bundle),
    }
    write_json(folder / "model.json", about)
    _write_probe(folder, bundle)


def _write_speech(folder: Path, speech: Path | None) -> dict[str, str] | None:
    if speech is None:
        return None
    content = speech.read_bytes()
    _write(folder / "speech.onnx", content)
    return {"file": "model/speech.onnx", "sha256": hashlib.sha256(content).hexdigest()}


def _write_probe(folder: Path, bundle: Bundle) -> None:
    """The probe as a browser reads it: samples as little-endian float32, the rest as JSON."""
    probe = read_probe(bundle)
    _write(folder / "probe.f32", probe.waveform.astype("<f4").tobytes())
    answers = {target: rows.tolist() for target, rows in probe.probabilities.items()}
    about = {"width": probe.waveform.shape[1], "lengths": probe.length.tolist(), "answers": answers}
    write_json(folder / "probe.json", about)


def _write_index(folder: Path, nonce: str) -> None:
    policy = _POLICY.format(nonce=nonce)
    page = (_PAGE / "index.html").read_text(encoding="utf-8")
    page = page.replace("{{nonce}}", nonce).replace('="/page/', '="page/').replace("<html ", '<html class="local" ')
    metas = {'http-equiv="content-security-policy"': policy, 'name="referrer"': "no-referrer"}
    head = "".join(f'  <meta {name} content="{content}">\n' for name, content in metas.items())
    first = '  <meta charset="utf-8">\n'
    _write(folder / "index.html", page.replace(first, first + head).encode())


def _write_worker(folder: Path, nonce: str) -> None:
    """The worker that keeps the site; its version is that of all files, so that a changed site is kept anew."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    sizes = {file.relative_to(folder).as_posix(): file.stat().st_size for file in files}
    digest = hashlib.sha256(nonce.encode())
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    sizes["index.html"] = (_PAGE / "index.html").stat().st_size
    script = (_OWN / "sw.js").read_text(encoding="utf-8")
    script = script.replace('"{{files}}"', json.dumps(sizes)).replace("{{version}}", digest.hexdigest()[:16])
    _write(folder / "sw.js", script.replace("{{policy}}", _POLICY.format(nonce=nonce)).encode())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
