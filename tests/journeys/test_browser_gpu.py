"""A site with the runtime for GPUs: it computes on one where the probe passes there, and says why where it does not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

import emotions
from emotions.bundle.bundle import read_bundle
from emotions.errors import ConfigError
from serving.http.page.static_site.runtime import Runtime, read_runtime
from serving.http.page.static_site.to_web import write_site
from tests.chromium import launched, opened
from tests.conftest import make_tiny_bundle, needs
from tests.page_actions import choose, listed, rows, shown, tone
from tests.static_files import served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LOADED_SEC = 120.0
ON_THE_CPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
"""Options by which Chromium has WebGPU where no GPU is, by SwiftShader."""
A_GPU = 'Object.defineProperty(navigator, "gpu", { value: { requestAdapter: async () => ({ info: {} }) } });'
NOT_A_CPU = 'Object.defineProperty(GPUAdapterInfo.prototype, "isFallbackAdapter", { get: () => false });'
RUNTIME = """import * as ort from "./ort.wasm.min.mjs";
export const { env, Tensor } = ort;
export const InferenceSession = { async create(content) {
  const session = await ort.InferenceSession.create(content, { executionProviders: ["wasm"] });
  return { async run(...given) { const answers = await session.run(...given); %s; return answers; } };
} };"""
"""In place of the runtime for GPUs."""
WRONG = "for (const each of Object.values(answers)) each.data[0] += 0.1"
THROWS = 'throw new Error("the device was lost")'
HANGS = "await new Promise(() => {})"


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    try:
        return read_runtime(webgpu=True)
    except ConfigError as error:
        needs(False, str(error))
        raise


@pytest.fixture(scope="module")
def written(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with the runtime for GPUs; the bundle lies beside it."""
    folder = tmp_path_factory.mktemp("gpu")
    return write_site(read_bundle(make_tiny_bundle(folder / "b")), folder / "site", runtime).path


@pytest.fixture
def site(written: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return shutil.copytree(written, tmp_path / "site")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched(*ON_THE_CPU) as found:
        yield found


def first_in_worker(site: Path, script: str) -> None:
    """Let the worker run something before the model is opened."""
    worker = site / "page" / "browser" / "worker.js"
    worker.write_text(f"{worker.read_text(encoding='utf-8')}\n{script}\n", encoding="utf-8")


def answered(site: Path, browser: Browser, clip: Path) -> tuple[str, str, float]:
    """What the page says of the device, and the label and confidence of a recording."""
    with served(site) as url, opened(browser) as tab:
        page = shown(tab.page, url, LOADED_SEC)
        choose(page, [clip])
        listed(page, 1, 60)
        (row,) = rows(page)
        return page.locator("#model").inner_text(), row[1], float(row[2])


def check(site: Path, written: Path, browser: Browser, folder: Path, *, said: str) -> None:
    clip = tone(folder / "clip.wav", 1.7)
    model, label, confidence = answered(site, browser, clip)
    assert said in model
    prediction = emotions.load(written.parent / "b", device="cpu").predict(clip)
    assert (label, confidence) == (prediction.label, pytest.approx(prediction.confidence, abs=2e-3))


def test_it_computes_on_the_gpu_where_the_probe_passes(
    written: Path, site: Path, browser: Browser, tmp_path: Path
) -> None:
    with served(site) as url, opened(browser) as tab:
        tab.page.goto(url)
        there = tab.page.evaluate("navigator.gpu?.requestAdapter().then(Boolean) ?? false")
    needs(bool(there), "this Chromium has no WebGPU by SwiftShader")
    first_in_worker(site, NOT_A_CPU)
    check(site, written, browser, tmp_path, said="webgpu, fp32")


def test_a_cpu_that_stands_in_for_a_gpu_is_not_used(
    written: Path, site: Path, browser: Browser, tmp_path: Path
) -> None:
    script = A_GPU.replace("info: {}", "info: { isFallbackAdapter: true }")
    first_in_worker(site, script)
    check(site, written, browser, tmp_path, said="WebGPU is not used: the CPU stands in for a GPU")


def test_a_browser_without_one_computes_by_wasm(written: Path, site: Path, browser: Browser, tmp_path: Path) -> None:
    first_in_worker(site, 'Object.defineProperty(navigator, "gpu", { value: undefined });')
    check(site, written, browser, tmp_path, said="WebGPU is not used: this browser does not have it")


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (WRONG, "WebGPU is not used: it answers the probe otherwise than at export"),
        (THROWS, "WebGPU is not used: the model cannot be run by this browser: the device was lost"),
        (HANGS, "WebGPU is not used: no answer within 2 s"),
    ],
)
def test_a_gpu_that_answers_wrongly_or_not_at_all_is_not_used(
    written: Path, site: Path, browser: Browser, tmp_path: Path, does: str, said: str
) -> None:
    first_in_worker(site, A_GPU)
    (site / "runtime" / "ort.webgpu.min.mjs").write_text(RUNTIME % does, encoding="utf-8")
    if does == HANGS:  # what answers has its time, however slow the machine
        model = site / "page" / "browser" / "model.js"
        text = model.read_text(encoding="utf-8")
        assert "GPU_MS = 30000" in text
        model.write_text(text.replace("GPU_MS = 30000", "GPU_MS = 2000"), encoding="utf-8")
    check(site, written, browser, tmp_path, said=said)
