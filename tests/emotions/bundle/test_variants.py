from __future__ import annotations

from pathlib import Path

import pytest

import emotions
from emotions.bundle.bundle import read_bundle
from emotions.bundle.variants import choose_variant
from emotions.cli import run
from emotions.errors import BundleError, DeviceError
from emotions.folder.predict_files import open_parallel
from emotions.runtime.session import open_session


def test_the_variant_suits_the_device(tiny_bundle: Path) -> None:
    bundle = read_bundle(tiny_bundle)
    fp32 = bundle.manifest.variants["fp32"]
    all_variants = {
        "fp32": fp32,
        "fp16": fp32.model_copy(update={"device": "cuda"}),
        "int8": fp32.model_copy(update={"device": "cpu"}),
    }
    object.__setattr__(bundle.manifest, "variants", all_variants)
    assert choose_variant(bundle, "cuda", "auto") == "fp16"
    assert choose_variant(bundle, "cpu", "auto") == "int8"
    assert choose_variant(bundle, "cuda") == "fp16"
    assert choose_variant(bundle, "cpu") == "int8"
    assert choose_variant(bundle, "cpu", "fp32") == choose_variant(bundle, "cuda", "fp32") == "fp32"
    assert choose_variant(bundle, "cpu", "fp16") == "fp16"
    with pytest.raises(DeviceError, match="int8 is made for cpu, not for cuda"):
        choose_variant(bundle, "cuda", "int8")
    object.__setattr__(bundle.manifest, "extra", {"lossy": ["int8"]})
    assert (choose_variant(bundle, "cuda"), choose_variant(bundle, "cpu")) == ("fp16", "fp32")
    assert choose_variant(bundle, "cpu", "int8") == "int8"
    object.__setattr__(bundle.manifest, "variants", {"fp32": fp32})
    assert choose_variant(bundle, "cuda", "auto") == choose_variant(bundle, "cpu", "auto") == "fp32"


def test_a_variant_that_is_not_there_or_not_onnx_is_refused(tiny_bundle: Path) -> None:
    bundle = read_bundle(tiny_bundle)
    with pytest.raises(BundleError, match="has no variant 'int8'; name one of auto, fp32"):
        open_session(bundle, device="cpu", variant="int8")
    fp32 = bundle.manifest.variants["fp32"]
    script = fp32.model_copy(update={"file": "model.ts"})
    object.__setattr__(bundle.manifest, "variants", {"fp32": fp32, "torchscript": script})
    with pytest.raises(BundleError, match="does not run, with ONNX Runtime, the variant 'torchscript'"):
        open_session(bundle, device="cpu", variant="torchscript")
    object.__setattr__(bundle.manifest, "variants", {"fp32": fp32})


def test_everything_that_loads_a_bundle_chooses_alike(small_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    python, folder = emotions.load(small_bundle, device="cpu"), open_parallel(small_bundle, device="cpu")[0]
    assert python.session.variant == folder.session.variant == "int8"
    assert emotions.load(small_bundle, device="cpu", variant="fp32").session.variant == "fp32"
    assert run(["info", str(small_bundle)]) == 0
    assert "int8 on cpu, unless another variant is asked for" in capsys.readouterr().out
