"""A bundle as a static site: its files, its policy, and what no browser can hold."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emotions.bundle.bundle import Bundle, read_bundle
from emotions.bundle.probe import read_probe
from emotions.errors import BundleError, OutputExists
from serving.http.page.static_site.runtime import Runtime
from serving.http.page.static_site.to_web import MOST_BYTES, check_fits, write_site
from tests.conftest import make_tiny_bundle, needs
from tests.javascript import NODE


@pytest.fixture
def site(tiny_bundle: Path, empty_runtime: Runtime, tmp_path: Path) -> Path:
    return write_site(read_bundle(tiny_bundle), tmp_path / "site", empty_runtime).path


def large(bundle: Bundle, variant: str, size: int) -> Bundle:
    """The bundle with a variant that says it has so many bytes."""
    variants = {**bundle.manifest.variants}
    variants[variant] = variants[variant].model_copy(update={"bytes": size})
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"variants": variants}))


def test_the_site_has_every_file_that_it_names(site: Path) -> None:
    index = (site / "index.html").read_text(encoding="utf-8")
    named = {site / path for path in re.findall(r'(?:src|href)="(page/[^"]+)"', index)}
    for script in (site / "page").rglob("*.js"):
        named |= {script.parent / found for found in re.findall(r'from "(\.[^"]+)"', script.read_text("utf-8"))}
    assert len(named) > 12
    assert [path for path in named if not path.is_file()] == []


def test_it_allows_itself_nothing_from_elsewhere(site: Path) -> None:
    index, worker = ((site / name).read_text(encoding="utf-8") for name in ("index.html", "sw.js"))
    policy = re.search(r'content-security-policy" content="([^"]+)"', index)
    assert policy
    assert policy[1].startswith("default-src 'self';")
    assert "http" not in policy[1]
    assert "unsafe-inline" not in policy[1]
    assert policy[1] in worker
    assert re.search(r"'nonce-([\w-]{16,})'", policy[1])
    assert "{{" not in index + worker
    assert 'class="local"' in index


def test_the_worker_keeps_all_files_but_itself(site: Path) -> None:
    kept = re.search(r"const FILES = (\{.*?\});", (site / "sw.js").read_text(encoding="utf-8"))
    assert kept
    there = {file.relative_to(site).as_posix() for file in site.rglob("*") if file.is_file()}
    assert {*json.loads(kept[1])} == there - {"sw.js"}


def test_another_model_is_kept_anew(tiny_bundle: Path, empty_runtime: Runtime, tmp_path: Path) -> None:
    versions = set()
    for number, path in enumerate((tiny_bundle, make_tiny_bundle(tmp_path / "other", pooling="coverage"))):
        folder = write_site(read_bundle(path), tmp_path / f"site{number}", empty_runtime).path
        versions.add(re.search(r"\$\{MINE\}(\w+)", (folder / "sw.js").read_text(encoding="utf-8"))[1])  # type: ignore[index]
    assert len(versions) == 2


def test_the_probe_is_the_bundles(site: Path, tiny_bundle: Path) -> None:
    probe = read_probe(read_bundle(tiny_bundle))
    about = json.loads((site / "model" / "probe.json").read_text(encoding="utf-8"))
    samples = np.frombuffer((site / "model" / "probe.f32").read_bytes(), "<f4").reshape(-1, about["width"])
    assert np.array_equal(samples, probe.waveform)
    assert about["lengths"] == probe.length.tolist()
    assert np.allclose(about["answers"]["emotion"], probe.probabilities["emotion"], atol=1e-7)


def test_the_page_says_the_same_of_the_model_as_a_service(site: Path, tiny_bundle: Path) -> None:
    about = json.loads((site / "model" / "model.json").read_text(encoding="utf-8"))
    bundle = read_bundle(tiny_bundle)
    assert about["described"]["bundle"] == bundle.id
    assert about["described"]["targets"] == bundle.manifest.labels
    assert about["sha256"] == bundle.manifest.variants["fp32"].sha256
    assert (site / "model" / "model.onnx").read_bytes() == bundle.file("fp32").read_bytes()


@pytest.mark.parametrize("language", ["en", "ru"])
def test_texts_are_the_pages_but_for_what_differs(site: Path, language: str) -> None:
    texts = json.loads((site / "page" / f"{language}.json").read_text(encoding="utf-8"))
    english = json.loads((site / "page" / "en.json").read_text(encoding="utf-8"))
    assert texts.keys() == english.keys()
    assert "service" not in texts["footer"] + texts["speak.privacy"]
    places = re.compile(r"\{\w+\}")
    assert {key: sorted(places.findall(text)) for key, text in texts.items()} == {
        key: sorted(places.findall(text)) for key, text in english.items()
    }


def test_a_folder_that_is_there_stays(tiny_bundle: Path, empty_runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputExists):
        write_site(read_bundle(tiny_bundle), tmp_path, empty_runtime)
    assert [each.name for each in tmp_path.iterdir()] == ["mine.txt"]


def test_a_model_that_is_too_large_is_refused_with_what_would_fit(small_bundle: Path) -> None:
    bundle = large(read_bundle(small_bundle), "fp32", MOST_BYTES + 1)
    with pytest.raises(BundleError, match=r"512 MB.*--variant int8"):
        check_fits(bundle, "fp32")
    with pytest.raises(BundleError, match="emotions serve"):
        check_fits(large(bundle, "int8", MOST_BYTES + 1), "int8")
    check_fits(bundle, "int8")


def test_weights_in_a_file_of_their_own_are_refused(tiny_bundle: Path) -> None:
    bundle = read_bundle(tiny_bundle)
    files = {**bundle.manifest.files, "model.onnx.data": "0" * 64}
    outside = replace(bundle, manifest=bundle.manifest.model_copy(update={"files": files}))
    with pytest.raises(BundleError, match="file of their own"):
        check_fits(outside, "fp32")


@pytest.mark.parametrize("variant", ["fp16", "torchscript", "nothing"])
def test_forms_for_others_are_refused(variant: str, tmp_path: Path) -> None:
    bundle = read_bundle(make_tiny_bundle(tmp_path / "bundle", {"fp16": "cuda"}))
    with pytest.raises(BundleError, match="it has fp32"):
        check_fits(bundle, variant)


def test_dimensions_and_thresholds_go_along(affect_bundle: Path, empty_runtime: Runtime, tmp_path: Path) -> None:
    folder = write_site(read_bundle(affect_bundle), tmp_path / "site", empty_runtime).path
    about = json.loads((folder / "model" / "model.json").read_text(encoding="utf-8"))
    assert about["ranges"] == {"affect": [-1.0, 3.0]}
    assert about["described"]["dimensions"]["affect"]["range"] == [-1.0, 3.0]


def test_a_model_that_the_runtime_cannot_run_leaves_no_site(tiny_bundle: Path, tmp_path: Path) -> None:
    needs(bool(NODE), "node is needed as a command")
    script = (
        b"export const env = {wasm: {}}; export const InferenceSession = {create() { throw Error('no Frobnicate'); }};"
    )
    broken = Runtime({"ort.wasm.min.mjs": script})
    with pytest.raises(BundleError, match="no Frobnicate"):
        write_site(read_bundle(tiny_bundle), tmp_path / "site", broken)
    assert [*tmp_path.iterdir()] == []
