"""Dimensions from a bundle to Python, tables, the terminal, the service and its client."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml

import emotions
from emotions.audio.windows import pool, window_weights
from emotions.cli import run
from emotions.client.client import AsyncClient
from emotions.client.messages import Answer
from emotions.predictor import Predictor
from serving.batch.timeline_plot import plot_timeline
from serving.settings import Settings
from tests.conftest import AFFECT_RANGES, Tone, WriteWav, make_tiny_bundle
from tests.serving.conftest import Service

DIMENSIONS = ["arousal", "valence"]


@pytest.fixture
def affect(affect_bundle: Path) -> Iterator[Service]:
    service = Service(emotions.load(affect_bundle, device="cpu", threads=1), Settings(threads=1))
    yield service
    service.engine.close()


@pytest.fixture(scope="session")
def only_dimensions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundles") / "only"
    return make_tiny_bundle(path, targets={"affect": DIMENSIONS}, ranges=AFFECT_RANGES)


@pytest.fixture
def recordings(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> Path:
    for number in range(3):
        write_wav(tmp_path / "clips" / f"{number}.wav", tone(0.4 + number, 200 + 300 * number))
    return tmp_path / "clips"


def test_values_are_pooled_over_windows_as_probabilities_are(affect_bundle: Path, tone: Tone) -> None:
    predictor = emotions.load(affect_bundle, device="cpu")
    windows = predictor.split(tone(1.2))
    answers = predictor.session.run(windows.samples, windows.lengths)["affect"]
    weights = window_weights(windows.starts, windows.lengths, 8_000, "mean")
    found = predictor.predict(tone(1.2))
    assert [*found.values["affect"].values()] == pytest.approx(pool(answers, weights).tolist(), abs=1e-6)
    assert [*found.windows[1].values["affect"].values()] == pytest.approx(answers[1].tolist(), abs=1e-6)
    assert [*found.values["affect"]] == DIMENSIONS
    assert [*found.probabilities] == ["emotion"] == [*found.labels]
    assert found.answers == {**found.probabilities, **found.values}


def test_a_model_of_dimensions_alone_has_no_label(only_dimensions: Path, tone: Tone) -> None:
    found = emotions.load(only_dimensions, device="cpu").predict(tone(0.5))
    assert (found.label, found.labels, found.probabilities) == ("", {}, {})
    assert np.isnan(found.confidence)
    assert [*found.values["affect"]] == DIMENSIONS


@pytest.mark.parametrize("windows", [False, True])
def test_a_table_has_a_column_a_dimension(recordings: Path, affect_bundle: Path, tmp_path: Path, windows: bool) -> None:
    table = tmp_path / "out.csv"
    asked = ["--windows"] if windows else []
    assert run(["predict", str(recordings), "--bundle", str(affect_bundle), "--output", str(table), *asked]) == 0
    rows = [*csv.DictReader(table.read_text().splitlines())]
    assert [name for name in rows[0] if name.startswith("affect")] == ["affect.arousal", "affect.valence"]
    predictor = emotions.load(affect_bundle, device="cpu")
    for row in rows:
        whole = predictor.predict(recordings / row["file"])
        found = next(w for w in whole.windows if w.start == float(row["start"])) if windows else whole
        for name, value in found.values["affect"].items():
            assert float(row[f"affect.{name}"]) == pytest.approx(value, abs=1e-5)
        assert row["emotion"]


@pytest.mark.parametrize("ending", ["jsonl", "parquet", "audformat"])
def test_every_form_of_a_table_takes_values(
    recordings: Path, only_dimensions: Path, tmp_path: Path, ending: str
) -> None:
    table = tmp_path / f"out.{ending}"
    plot = ["--plot", str(tmp_path / "summary.png")]
    assert run(["predict", str(recordings), "--bundle", str(only_dimensions), "--output", str(table), *plot]) == 0
    assert (tmp_path / "summary.png").stat().st_size > 1_000
    if ending == "jsonl":
        first = json.loads(table.read_text().splitlines()[0])
        assert first["confidence"] is None
        assert first["error"] is None
        assert isinstance(first["affect.arousal"], float)
    if ending == "audformat":
        header = yaml.safe_load((table / "db.yaml").read_text())
        assert header["schemes"]["affect.arousal"] == {"dtype": "float"}
        assert header["tables"]["predictions"]["columns"]["affect.valence"]["scheme_id"] == "affect.valence"


def test_the_terminal_shows_values(
    recordings: Path, affect_bundle: Path, only_dimensions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for bundle in (affect_bundle, only_dimensions):
        value = emotions.load(bundle, device="cpu").predict(recordings / "0.wav").values["affect"]["arousal"]
        assert run(["predict", str(recordings / "0.wav"), "--bundle", str(bundle)]) == 0
        assert f"arousal {value:.2f}" in capsys.readouterr().out
        assert run(["predict", str(recordings / "2.wav"), "--bundle", str(bundle), "--windows"]) == 0
        assert "valence" in capsys.readouterr().out


def test_the_summary_tells_the_mean_of_each_dimension(
    recordings: Path, affect_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictor = emotions.load(affect_bundle, device="cpu")
    values = [predictor.predict(file).values["affect"]["arousal"] for file in sorted(recordings.iterdir())]
    output = ["--output", str(tmp_path / "out.csv")]
    assert run(["predict", str(recordings), "--bundle", str(affect_bundle), *output]) == 0
    assert f"affect.arousal  mean {np.mean(values):.3f}" in capsys.readouterr().out


def test_a_timeline_has_a_panel_of_dimensions(
    recordings: Path, affect_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, tuple[float, float]]] = []

    def drawn(*arguments: object) -> None:
        seen.append(arguments[-1])  # type: ignore[arg-type]
        plot_timeline(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("serving.batch.show.plot_timeline", drawn)
    picture = tmp_path / "timeline.png"
    asked = ["--windows", "--plot", str(picture), "--bundle", str(affect_bundle)]
    assert run(["predict", str(recordings / "2.wav"), *asked]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert seen == [AFFECT_RANGES]


def test_the_service_answers_values(affect: Service, clip: bytes) -> None:
    expected = affect.engine.predictor.predict(clip)
    body = affect.post(clip, "/v1/predict?windows=1").json()
    assert body["values"]["affect"] == pytest.approx(expected.values["affect"], abs=1e-5)
    assert body["label"] == expected.label
    assert len(body["windows"]) == 3
    assert body["windows"][2]["values"]["affect"] == pytest.approx(expected.windows[2].values["affect"], abs=1e-5)
    model = affect.request("GET", "/v1/model").json()
    assert model["targets"] == {"emotion": ["angry", "happy", "sad"]}
    assert model["dimensions"] == {"affect": {"dimensions": DIMENSIONS, "range": [-1.0, 3.0]}}


def test_a_service_of_dimensions_alone_answers_no_label(only_dimensions: Path, clip: bytes) -> None:
    predictor: Predictor = emotions.load(only_dimensions, device="cpu", threads=1)
    service = Service(predictor, Settings(threads=1))
    body = service.post(clip).json()
    service.engine.close()
    assert (body["label"], body["confidence"], body["probabilities"]) == (None, None, {})
    assert [*body["values"]["affect"]] == DIMENSIONS


def test_a_service_of_labels_alone_answers_as_before(service: Service, clip: bytes) -> None:
    assert "values" not in service.post(clip).json()
    assert "dimensions" not in service.request("GET", "/v1/model").json()


def test_the_open_inference_protocol_describes_and_answers_dimensions(affect: Service, tone: Tone) -> None:
    outputs = affect.request("GET", "/v2/models/tiny").json()["outputs"]
    about = {"dimensions": DIMENSIONS, "range": [-1.0, 3.0]}
    assert outputs[1] == {"name": "affect", "datatype": "FP32", "shape": [-1, 2], "parameters": about}
    samples = tone(0.5)
    tensor = {"name": "waveform", "datatype": "FP32", "shape": [1, len(samples)], "data": samples.tolist()}
    answer = affect.request("POST", "/v2/models/tiny/infer", json={"inputs": [tensor]}).json()["outputs"][1]
    expected = [*affect.engine.predictor.predict(samples).values["affect"].values()]
    assert answer["data"] == pytest.approx(expected, abs=1e-5)
    assert answer["parameters"] == about


def test_the_client_reads_values(affect: Service, clip: bytes) -> None:
    async def scene() -> Answer:
        async with AsyncClient("http://service", transport=httpx.ASGITransport(affect.app)) as client:
            return await client.predict(clip, windows=True)

    answer = asyncio.run(scene())
    expected = affect.engine.predictor.predict(clip)
    assert answer.values["affect"] == pytest.approx(expected.values["affect"], abs=1e-5)
    assert answer.windows[0].values["affect"] == pytest.approx(expected.windows[0].values["affect"], abs=1e-5)


def test_info_tells_dimensions_and_their_range(affect_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", str(affect_bundle)]) == 0
    shown: Callable[[], str] = lambda: " ".join(capsys.readouterr().out.split())  # noqa: E731
    assert "dimensions of affect arousal, valence, from -1 to 3" in shown()
