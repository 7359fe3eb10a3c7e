"""The kernel in the browser: windows, pooling, resampling, decoding and speech are those of the kernel in Python."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from emotions.audio.decode import read, to_model_rate
from emotions.audio.speech.segmenter import Segmenter
from emotions.audio.windows import WindowSpec, pool, split, window_starts, window_weights
from serving.http.page import static_site
from tests.javascript import evaluate

PAGE = Path(static_site.__file__).parents[1] / "files"
BROWSER = Path(static_site.__file__).parent / "files" / "browser"
SPEC = WindowSpec(samples=400, hop_samples=160)
_BYTES = "(text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0))"


@pytest.mark.parametrize(("width", "hop"), [(400, 400), (400, 160), (400, 399), (7, 3)])
def test_windows_start_where_the_kernels_do(width: int, hop: int) -> None:
    lengths = [1, width - 1, width, width + 1, 2 * width, 5 * width - 1, 5 * hop + width]
    expression = "given.lengths.map((each) => module.windowStarts(each, given.spec))"
    found = evaluate(
        BROWSER / "windows.js", expression, {"lengths": lengths, "spec": {"samples": width, "hop_samples": hop}}
    )
    assert found == [window_starts(length, WindowSpec(width, hop)).tolist() for length in lengths]


@pytest.mark.parametrize("parts", [[1000], [100, 250, 1, 649], [399, 1, 600]])
def test_a_recording_that_comes_in_parts_is_cut_as_a_whole(parts: list[int]) -> None:
    waveform = np.arange(sum(parts), dtype=np.float32)
    expression = """(() => {
      const splitter = new module.WindowSplitter(given.spec);
      let at = 0;
      const next = (length) => Float32Array.from({ length }, () => at++);
      const last = given.parts.length - 1;
      const pushed = given.parts.flatMap((size, number) => splitter.push(next(size), number === last));
      return pushed.map(({ samples, length, start }) => [[...samples], length, start]);
    })()"""
    found = evaluate(BROWSER / "windows.js", expression, {"parts": parts, "spec": {"samples": 400, "hop_samples": 160}})
    windows = split(waveform, SPEC)
    expected = zip(windows.samples.tolist(), windows.lengths.tolist(), windows.starts.tolist(), strict=True)
    assert found == [[*each] for each in expected]


@pytest.mark.parametrize("samples", [200, 400, 401, 720, 1000, 5000])
@pytest.mark.parametrize("pooling", ["coverage", "mean"])
def test_windows_are_pooled_as_the_kernel_does(samples: int, pooling: Any) -> None:
    windows = split(np.zeros(samples, np.float32), SPEC)
    answers = np.random.default_rng(samples).dirichlet([1, 1, 1], len(windows)).astype(np.float32)
    expected = pool(answers, window_weights(windows.starts, windows.lengths, 160, pooling))
    edges = zip(windows.starts.tolist(), windows.lengths.tolist(), strict=True)
    places = [{"start": start, "length": length} for start, length in edges]
    expression = "module.pool(given.answers, module.windowWeights(given.places, 160, given.pooling))"
    given = {"places": places, "answers": answers.tolist(), "pooling": pooling}
    assert evaluate(BROWSER / "windows.js", expression, given) == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 16_000])
def test_other_rates_become_what_soxr_makes_of_them(rate: int) -> None:
    time = np.arange(rate) / rate
    waveform = sum(0.1 * np.sin(2 * np.pi * hz * time) for hz in (50, 440, 1_200, 3_100, 6_900) if hz < 0.45 * rate)
    waveform = np.asarray(waveform, np.float32)
    expression = "[...module.resampled(Float32Array.from(given.waveform), given.rate, 16000)]"
    found = evaluate(BROWSER / "resampler.js", expression, {"waveform": waveform.tolist(), "rate": rate})
    expected = to_model_rate(waveform, rate)
    assert len(found) == len(expected)
    difference = np.abs(np.array(found) - expected)
    assert difference[300:-300].max() < 1e-4
    assert difference.max() < 5e-3  # at an abrupt begin the bands between pass and stop differ


def test_blocks_are_resampled_as_the_whole_is() -> None:
    waveform = np.random.default_rng(0).normal(0, 0.1, 30_000).astype(np.float32)
    expression = """(() => {
      const all = Float32Array.from(given);
      const resampler = new module.Resampler(44100, 16000);
      const parts = [];
      for (let at = 0; at < all.length; at += 4410) parts.push(...resampler.push(all.subarray(at, at + 4410)));
      parts.push(...resampler.finish());
      const whole = [...module.resampled(all, 44100, 16000)];
      return [parts.length, whole.length, Math.max(...whole.map((each, at) => Math.abs(each - parts[at])))];
    })()"""
    pushed, whole, difference = evaluate(BROWSER / "resampler.js", expression, waveform.tolist())
    assert pushed == whole
    assert difference == 0


def wave(subtype: str, channels: int, rate: int = 22_050, form: str = "WAV") -> bytes:
    file = io.BytesIO()
    samples = np.random.default_rng(channels).uniform(-0.9, 0.9, (500, channels))
    soundfile.write(file, samples, rate, subtype=subtype, format=form)
    return file.getvalue()


def mono(content: bytes) -> Any:
    expression = f"""(() => {{
      const wave = module.readWave(({_BYTES})(given).buffer);
      const {{ rate, channels, missing }} = wave ?? {{}};
      return wave && {{ rate, channels, missing, samples: [...module.monoOfWave(wave)] }};
    }})()"""
    return evaluate(PAGE / "pcm.js", expression, base64.b64encode(content).decode())


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_wav_is_read_as_the_kernel_reads_it(subtype: str, channels: int) -> None:
    content = wave(subtype, channels, rate=16_000)
    found = mono(content)
    assert (found["rate"], found["channels"], found["missing"]) == (16_000, channels, 0)
    assert np.abs(np.array(found["samples"], np.float32) - read(content).waveform).max() < 2.5e-7


def test_a_wav_that_is_cut_off_is_read_as_far_as_it_goes() -> None:
    whole = wave("PCM_16", 1, rate=16_000)
    found = mono(whole[:-320])
    assert len(found["samples"]) == 340
    assert found["missing"] == pytest.approx(160 / 16_000)


@pytest.mark.parametrize(
    "content",
    [b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"not audio at all", wave("IMA_ADPCM", 1), b"RIFF\xff\xff\xff\xffWAVEfmt "],
)
def test_what_is_no_plain_wav_is_left_to_the_browser(content: bytes) -> None:
    assert mono(content) is None


@pytest.mark.parametrize("seed", range(6))
def test_segments_of_speech_are_the_kernels(seed: int) -> None:
    random = np.random.default_rng(seed)
    levels = random.choice([0.02, 0.2, 0.45, 0.6, 0.99], 60).repeat(random.integers(1, 30, 60))
    probabilities = (levels + random.uniform(-0.01, 0.01, len(levels))).clip(0, 1)
    expression = """(() => {
      const segmenter = new module.Segmenter();
      const found = given.flatMap((each) => segmenter.push([each]));
      return [...found, ...segmenter.finish(given.length * 512 - 100)].map(({ begin, end }) => [begin, end]);
    })()"""
    segmenter = Segmenter()
    expected = [*segmenter.push(probabilities.tolist()), *segmenter.finish(len(probabilities) * 512 - 100)]
    assert expected
    assert evaluate(BROWSER / "speech.js", expression, probabilities.tolist()) == [
        [each.begin, each.end] for each in expected
    ]


@pytest.mark.parametrize(
    ("form", "subtype", "rate"),
    [("FLAC", "PCM_16", 22_050), ("OGG", "VORBIS", 32_000), ("OGG", "OPUS", 48_000), ("MP3", "MPEG_LAYER_III", 22_050)],
)
def test_the_rate_of_other_formats_is_found(form: str, subtype: str, rate: int) -> None:
    content = base64.b64encode(wave(subtype, 1, rate, form)).decode()
    assert evaluate(BROWSER / "rates.js", f"module.rateOf(({_BYTES})(given))", content) == rate


@pytest.mark.parametrize("content", [b"", b"\xff", b"OggS", b"fLaC", b"ID3\x04\0\0\x7f\x7f\x7f\x7f", bytes(5_000)])
def test_bytes_without_a_rate_have_the_usual_one(content: bytes) -> None:
    expression = f"module.rateOf(({_BYTES})(given))"
    assert evaluate(BROWSER / "rates.js", expression, base64.b64encode(content).decode()) == 48_000
