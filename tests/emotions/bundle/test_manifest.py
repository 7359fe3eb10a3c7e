from __future__ import annotations

import hashlib
import io
import json
import math
import os
import pickle
import shutil
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotions.bundle.bundle import read_bundle
from emotions.bundle.folders import newest_bundle, write_bundle
from emotions.bundle.probe import read_probe
from emotions.errors import BundleError, OutputExists
from tests.conftest import TINY_TARGETS


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))


def edit(bundle: Path, **changes: Any) -> None:
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest.update(changes)
    path.write_text(json.dumps(manifest))


def test_a_whole_bundle_is_read(tiny_bundle: Path) -> None:
    bundle = read_bundle(tiny_bundle)
    assert bundle.manifest.targets == TINY_TARGETS
    assert bundle.file("fp32") == tiny_bundle / "model.onnx"
    assert bundle.id.startswith("tiny@")
    assert bundle.manifest.window.spec.samples == 8_000


@pytest.mark.parametrize("version", [0, 3, 99, "1", None, True])
def test_an_unknown_format_version_is_refused(copy: Path, version: object) -> None:
    edit(copy, format_version=version)
    with pytest.raises(BundleError, match=r"format version .* is unknown to this release \(it reads 1 and 2\)"):
        read_bundle(copy)


@pytest.mark.parametrize("name", ["model.onnx", "probe.npz"])
def test_a_missing_or_altered_file_is_refused(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BundleError, match="is not the file that was exported"):
        read_bundle(copy)
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"lacks {name}"):
        read_bundle(copy)


def test_unknown_keys_are_refused_outside_extra(copy: Path) -> None:
    edit(copy, extra={"owner": "me"})
    assert read_bundle(copy).manifest.extra == {"owner": "me"}
    edit(copy, owner="me")
    with pytest.raises(BundleError, match="owner"):
        read_bundle(copy)


@pytest.mark.parametrize(
    "change",
    [
        {"targets": {"emotion": ["angry"]}},
        {"targets": {"emotion": ["angry", "angry"], "state": ["a", "b"]}},
        {"targets": {"state": ["a", "b"], "emotion": ["c", "d"]}},
        {"targets": {"confidence": ["a", "b"]}},
        {"targets": {"emotion.x": ["a", "b"]}},
        {"targets": {}},
        {"sample_rate": 8000},
        {"window": {"samples": 0, "hop_samples": 1, "dynamic": False}},
        {"variants": {}},
        {"files": {"../model.onnx": "0" * 64}},
        {"files": {}},
        {"targets": {"emotion": ["angry", "happy"], "state": ["a", "b"]}},
        {"window": {"samples": 4000, "hop_samples": 4000, "dynamic": False}},
        {"window": {"samples": 8000, "hop_samples": 1, "dynamic": False}},
        {"format_version": 1.0},
        {"created": "yesterday"},
        {"pooling": "median"},
        {"pooling": "coverage", "window": {"samples": 8000, "hop_samples": 8001, "dynamic": False}},
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(copy: Path, change: dict[str, Any]) -> None:
    edit(copy, **change)
    with pytest.raises(BundleError):
        read_bundle(copy)


@pytest.mark.parametrize(
    "change",
    [
        {"targets": {"emotion": ["sad", "happy", "angry"], "state": ["negative", "positive"]}},
        {"targets": {"emotion": ["angry", "happy", "neutral"], "state": ["negative", "positive"]}},
        {"window": {"samples": 8000, "hop_samples": 800, "dynamic": False}},
        {"pooling": "coverage"},
    ],
)
def test_labels_and_window_cannot_be_edited(copy: Path, change: dict[str, Any]) -> None:
    edit(copy, **change)
    with pytest.raises(BundleError, match="labels, window or pooling are not those of the export"):
        read_probe(read_bundle(copy))


def test_dimensions_are_read_with_their_range(affect_bundle: Path) -> None:
    written = json.loads((affect_bundle / "manifest.json").read_text())
    assert written["format_version"] == 2
    assert written["targets"]["affect"] == {"dimensions": ["arousal", "valence"], "range": [-1.0, 3.0]}
    assert written["targets"]["emotion"] == {"labels": ["angry", "happy", "sad"]}
    manifest = read_bundle(affect_bundle).manifest
    assert manifest.dimensions == {"affect": ["arousal", "valence"]}
    assert manifest.labels == {"emotion": ["angry", "happy", "sad"]}
    assert manifest.ranges == {"affect": (-1.0, 3.0)}


def test_a_bundle_without_dimensions_is_written_for_readers_of_version_1(tiny_bundle: Path) -> None:
    written = json.loads((tiny_bundle / "manifest.json").read_text())
    assert (written["format_version"], written["targets"]) == (1, TINY_TARGETS)
    assert "ranges" not in written


LABELS = {"labels": ["angry", "happy", "sad"]}


@pytest.mark.parametrize(
    ("affect", "why"),
    [
        ({"dimensions": ["arousal", "valence"]}, "has not either"),
        ({"labels": ["a", "b"], "dimensions": ["arousal", "valence"], "range": [0, 1]}, "has not either"),
        ({"dimensions": ["arousal", "valence"], "range": [0, 1], "unit": "m"}, "has not either"),
        (["arousal", "valence"], "has not either"),
        ({"dimensions": ["arousal", "arousal"], "range": [0, 1]}, "names a dimension twice"),
        ({"dimensions": ["arousal"], "range": [0, 1]}, "and 1 names"),
        ({"dimensions": ["arousal", "valence"], "range": [1, 1]}, "must ascend"),
        ({"dimensions": ["arousal", "valence"], "range": [0, 1e30]}, "must ascend"),
        ({"dimensions": ["arousal", "valence"], "range": [0, "x"]}, "number"),
        ({"dimensions": ["arousal", "valence"], "range": [0]}, "ranges.affect"),
        ({"dimensions": "arousal", "range": [0, 1]}, "list"),
    ],
)
def test_a_target_of_dimensions_that_is_malformed_is_refused(
    affect_bundle: Path, tmp_path: Path, affect: object, why: str
) -> None:
    copied = Path(shutil.copytree(affect_bundle, tmp_path / "copy"))
    edit(copied, targets={"emotion": LABELS, "affect": affect})
    with pytest.raises(BundleError, match=why):
        read_bundle(copied)


def test_version_1_knows_no_dimensions(affect_bundle: Path, copy: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(affect_bundle, tmp_path / "affect"))
    edit(copied, format_version=1)
    with pytest.raises(BundleError, match=r"targets\.\w+: Input should be a valid list"):
        read_bundle(copied)
    edit(copy, ranges={"emotion": [0, 1]})
    with pytest.raises(BundleError, match="a range stands in its target"):
        read_bundle(copy)


def test_a_range_cannot_be_edited_and_a_dimension_has_no_threshold(affect_bundle: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(affect_bundle, tmp_path / "copy"))
    edit(copied, targets={"emotion": LABELS, "affect": {"dimensions": ["arousal", "valence"], "range": [0, 1]}})
    with pytest.raises(BundleError, match="are not those of the export"):
        read_probe(read_bundle(copied))
    edit(copied, calibration={"affect": {"threshold": 0.5}})
    with pytest.raises(BundleError, match="threshold of 'affect'"):
        read_bundle(copied)


def test_a_difference_of_a_value_is_told_in_widths_of_its_range(affect_bundle: Path) -> None:
    probe = read_probe(read_bundle(affect_bundle))
    found = probe.differences({target: values + 0.5 for target, values in probe.probabilities.items()})
    assert found == pytest.approx({"emotion": 0.5, "affect": 0.125}, abs=1e-5)


def test_a_threshold_is_a_confidence_or_above_all(copy: Path) -> None:
    edit(copy, calibration={"emotion": {"threshold": "above_all"}, "state": {"threshold": 0.7}})
    assert read_bundle(copy).manifest.thresholds == {"emotion": math.inf, "state": 0.7}
    for threshold in ("none", 1.1, [0.5], None):
        edit(copy, calibration={"emotion": {"threshold": threshold}})
        with pytest.raises(BundleError, match="no confidence of a target as the threshold of 'emotion'"):
            read_bundle(copy)


def test_what_is_no_bundle_is_named_so(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such folder"):
        read_bundle(tmp_path / "none")
    with pytest.raises(BundleError, match=r"no manifest\.json"):
        read_bundle(tmp_path)
    for text in ("", "[]", "{", "null", '"x"'):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(BundleError):
            read_bundle(tmp_path)


def test_a_half_written_bundle_is_never_seen(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError), write_bundle(tmp_path / "half") as folder:
        shutil.copy(tiny_bundle / "manifest.json", folder)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_is_never_overwritten(tiny_bundle: Path) -> None:
    with pytest.raises(OutputExists), write_bundle(tiny_bundle):
        pytest.fail("the output is there already")


def test_a_probe_is_never_unpickled(copy: Path) -> None:
    class Boom:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (os.mkdir, (str(copy / "executed"),))

    np.savez(copy / "probe.npz", waveform=np.array([Boom()], object), allow_pickle=True)
    with pytest.raises(BundleError, match=r"probe\.npz cannot be read"):
        read_probe(read_bundle_unchecked(copy))
    (copy / "probe.npz").write_bytes(pickle.dumps(Boom()))
    with pytest.raises(BundleError, match=r"probe\.npz cannot be read"):
        read_probe(read_bundle_unchecked(copy))
    assert not (copy / "executed").exists()


def read_bundle_unchecked(copy: Path) -> Any:
    from emotions.bundle.bundle import Bundle
    from emotions.bundle.manifest import Manifest

    return Bundle(copy, Manifest.model_validate_json((copy / "manifest.json").read_text()))


def test_the_newest_bundle_is_the_one_whose_manifest_was_written_last(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds no bundle"):
        newest_bundle(tmp_path)
    for age, name in ((20, "b"), (10, "a"), (30, "c"), (0, ".hidden")):
        bundle = Path(shutil.copytree(tiny_bundle, tmp_path / name))
        os.utime(bundle / "manifest.json", (1_000_000 - age, 1_000_000 - age))
    assert newest_bundle(tmp_path).name == "a"


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("run.json", "it is a run folder: emotions export --run .* --output BUNDLE makes a bundle of it"),
        ("search.json", "it holds a search: emotions export --tune-results .* --output BUNDLE exports its best trial"),
        ("last.ckpt", "it is a run folder whose training has not ended"),
    ],
)
def test_what_people_name_instead_of_a_bundle_is_named_with_what_to_do(tmp_path: Path, file: str, words: str) -> None:
    (tmp_path / file).write_text("{}")
    with pytest.raises(BundleError, match=words):
        read_bundle(tmp_path)


def test_a_folder_of_bundles_and_a_file_are_no_bundles(tiny_bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "bundles" / "mine")
    with pytest.raises(BundleError, match="it is a folder of bundles; name one of mine"):
        read_bundle(tmp_path / "bundles")
    with pytest.raises(BundleError, match="it is a file; name the folder"):
        read_bundle(tmp_path / "bundles" / "mine" / "model.onnx")


def npz(path: Path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def npy(shape: tuple[int, ...], content: bytes = b"", dtype: str = "<f4") -> bytes:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"shape": shape, "fortran_order": False, "descr": dtype})
    return head.getvalue() + content


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"waveform": npy((10**6, 10**6), bytes(64))}, r"claims the shape \(1000000, 1000000\), and holds"),
        ({"waveform": npy((2**31, 2**31, 2**31), bytes(64))}, "claims the shape"),
        ({"waveform": npy((70 << 20,), bytes(280 << 20))}, "more than 1000 arrays or 256 MiB"),
        ({f"a{number}": b"" for number in range(1001)}, "more than 1000 arrays or 256 MiB"),
        ({"waveform": b"no array"}, "cannot be read"),
    ],
    ids=["claims", "overflow", "unpacks", "many", "none"],
)
def test_a_probe_that_would_not_fit_is_refused_before_it_is_unpacked(
    copy: Path, members: dict[str, bytes], words: str
) -> None:
    npz(copy / "probe.npz", **members)
    manifest = json.loads((copy / "manifest.json").read_text())
    edit(copy, files=manifest["files"] | {"probe.npz": hashlib.sha256((copy / "probe.npz").read_bytes()).hexdigest()})
    bundle = read_bundle(copy)
    tracemalloc.start()
    with pytest.raises(BundleError, match=words):
        read_probe(bundle)
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


def test_sixty_thousand_faults_are_one_short_message(copy: Path) -> None:
    edit(copy, targets={"emotion": [""] * 9_000, "state": [""] * 9_000})
    with pytest.raises(BundleError) as raised:
        read_bundle(copy)
    assert len(str(raised.value)) < 2_000
    assert "more" in str(raised.value)
    edit(copy, files={f"{number}.bin": "no hash" for number in range(60_000)})
    with pytest.raises(BundleError) as raised:
        read_bundle(copy)
    assert len(str(raised.value)) < 3_000
