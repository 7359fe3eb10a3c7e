"""Clients that others wrote, against a real service: they get what the library says, or words.

Each runs in a process of its own, since some of them change the process that they are in.
"""

from __future__ import annotations

import base64
import functools
import gzip
import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

import emotions
from serving.http.api_keys import add_key
from tests.chromium import launched, opened
from tests.conftest import Tone, WriteWav, needs
from tests.servers import Server, running

pytestmark = pytest.mark.slow

AUDIO_REFUSALS = ["415", "422"]
"""Statuses of what is no audio, or of audio that holds nothing: a schema cannot tell such bytes."""


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Keep the test's output clean."""


@dataclass(frozen=True)
class Site:
    """Another site than the service: its address, which is another origin, and the folder of its pages."""

    url: str
    folder: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    handler = functools.partial(_QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        yield Site(f"http://127.0.0.1:{pages.server_port}", folder)
        pages.shutdown()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    file = tmp_path_factory.mktemp("keys") / "keys.txt"
    return file, add_key(file, "page")


@pytest.fixture(scope="module")
def guarded(
    tiny_bundle: Path, keys: tuple[Path, str], site: Site, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A service that wants keys, and answers the pages of the site."""
    settings = {"EMOTIONS_API_KEYS_FILE": str(keys[0]), "EMOTIONS_CORS_ORIGINS": site.url}
    with running(tmp_path_factory.mktemp("guarded"), EMOTIONS_BUNDLE=str(tiny_bundle), **settings) as started:
        yield started


@pytest.fixture(scope="module")
def server(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"EMOTIONS_MAX_BYTES": str(2 << 20), "EMOTIONS_CORS_ORIGINS": "*"}
    with running(tmp_path_factory.mktemp("open"), EMOTIONS_BUNDLE=str(tiny_bundle), **settings) as started:
        yield started


@pytest.fixture(scope="module")
def clip(tone: Tone, write_wav: WriteWav, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wav(tmp_path_factory.mktemp("clips") / "clip.wav", tone(1.2))


@pytest.fixture(scope="module")
def expected(tiny_bundle: Path, clip: Path) -> dict[str, dict[str, float]]:
    prediction = emotions.load(tiny_bundle, device="cpu", threads=1).predict(clip)
    return {target: pytest.approx(scores, abs=1e-4) for target, scores in prediction.probabilities.items()}


def run(*command: str, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, **options)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    return done.stdout


TRITON = """
import json, sys
import numpy as np, soundfile
import tritonclient.http as triton

address, path = sys.argv[1:]
client = triton.InferenceServerClient(address)
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("tiny")
assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
described = client.get_model_metadata("tiny")
targets = {output["name"]: output["parameters"]["labels"] for output in described["outputs"]}
samples = soundfile.read(path, dtype="float32")[0]
recording = open(path, "rb").read()


def tensor(name, array, binary):
    kind = {"f": "FP32", "i": "INT64", "O": "BYTES"}[array.dtype.kind]
    made = triton.InferInput(name, list(array.shape), kind)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def inputs(binary):
    import base64
    text = recording if binary else base64.b64encode(recording)
    yield [tensor("waveform", samples[None], binary)]
    yield [tensor("waveform", samples[None], binary), tensor("length", np.array([len(samples)]), binary)]
    yield [tensor("audio", np.array([text], dtype=object), binary)]


for binary_in in (True, False):
    for given in inputs(binary_in):
        for binary_out in (None, True, False):
            asked = binary_out if binary_out is None else [
                triton.InferRequestedOutput(name, binary_data=binary_out) for name in targets
            ]
            for compressed in (None, "gzip", "deflate"):
                result = client.infer("tiny", given, outputs=asked, request_compression_algorithm=compressed)
                found = {name: dict(zip(labels, result.as_numpy(name)[0].tolist())) for name, labels in targets.items()}
                print(json.dumps(found))
try:
    client.infer("tiny", [tensor("audio", np.array([b"no recording"], dtype=object), True)])
except triton.InferenceServerException as error:
    print(json.dumps({"refused": error.message()}))
"""


def test_tritonclient_in_binary_and_in_json(server: Server, clip: Path, expected: Any) -> None:
    address = server.url.removeprefix("http://")
    *answers, refused = map(json.loads, run(sys.executable, "-c", TRITON, address, str(clip)).splitlines())
    assert len(answers) == 2 * 3 * 3 * 3
    assert all(answer == expected for answer in answers)
    assert refused["refused"].startswith("row 0: is not audio")


BENTOML = """
import bentoml, json, pathlib, sys
with bentoml.SyncHTTPClient(sys.argv[1], token=sys.argv[3]) as client:
    print(json.dumps(client.predict(file=pathlib.Path(sys.argv[2]))["probabilities"]))
"""


def test_bentomls_client_with_a_key(guarded: Server, keys: tuple[Path, str], clip: Path, expected: Any) -> None:
    assert json.loads(run(sys.executable, "-c", BENTOML, guarded.url, str(clip), keys[1])) == expected


def test_curl_sends_a_recording_in_many_ways(server: Server, clip: Path, tmp_path: Path, expected: Any) -> None:
    recording = clip.read_bytes()
    in_base64 = base64.b64encode(recording).decode()
    (tmp_path / "clip.gz").write_bytes(gzip.compress(recording))
    (tmp_path / "clip.json").write_text(json.dumps({"audio": in_base64}))
    (tmp_path / "uri.json").write_text(json.dumps({"audio": f"data:audio/wav;base64,{in_base64}"}))
    (tmp_path / "clip.txt").write_text(in_base64)
    form = b"--q\r\nContent-Disposition: form-data; name=file; filename*=UTF-8''%C3%BCber.wav\r\n\r\n"
    (tmp_path / "form").write_bytes(form + recording + b"\r\n--q--\r\n")
    ways = [
        ["-F", f"file=@{clip}"],
        ["-F", f"file=<{tmp_path / 'clip.txt'}"],
        ["--data-binary", f"@{clip}"],
        ["--data-binary", f"@{tmp_path / 'clip.gz'}", "-H", "Content-Encoding: gzip"],
        ["--json", f"@{tmp_path / 'clip.json'}"],
        ["--data-binary", f"@{tmp_path / 'uri.json'}"],
        ["--data-binary", f"@{tmp_path / 'clip.txt'}", "-H", "Content-Type: text/plain"],
        ["--data-binary", f"@{tmp_path / 'form'}", "-H", "Content-Type: multipart/form-data; boundary=q"],
    ]
    for path in ("v1/predict", "predict"):
        for way in ways:
            answer = json.loads(run("curl", "--silent", *way, f"{server.url}/{path}"))
            assert answer.get("probabilities") == expected, (path, way, answer)
    told = json.loads(run("curl", "--silent", "-F", "file=clip.wav", f"{server.url}/v1/predict"))
    assert "is text: give it a file name" in told["error"]["message"]
    assert "Traceback" not in server.log.read_text()


PAGE = """<!doctype html><title>page</title><script>
const [service, key] = [%s, %s];
async function ask(path, options) {
  try {
    const response = await fetch(service + path, options);
    const body = await response.json();
    return {status: response.status, id: response.headers.get("x-request-id"), body};
  } catch (error) {
    return {failed: String(error)};
  }
}
const found = (async () => {
  const clip = await (await fetch("clip.wav")).blob();
  const form = new FormData();
  form.append("file", clip, "clip.wav");
  const url = await new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.readAsDataURL(clip);
  });
  const zipped = await new Response(clip.stream().pipeThrough(new CompressionStream("gzip"))).blob();
  const bearer = {"Authorization": "Bearer " + key, "X-Request-Id": "from-the-page"};
  const json = {"X-API-Key": key, "Content-Type": "application/json"};
  return {
    form: await ask("/v1/predict", {method: "POST", headers: bearer, body: form}),
    json: await ask("/v1/predict", {method: "POST", headers: json, body: JSON.stringify({audio: url})}),
    gzip: await ask("/v1/predict", {method: "POST", headers: {...bearer, "Content-Encoding": "gzip"}, body: zipped}),
    keyless: await ask("/v1/predict", {method: "POST", body: form}),
    not_audio: await ask("/v1/predict", {method: "POST", headers: bearer, body: "no audio"}),
    nowhere: await ask("/nothing", {headers: bearer}),
  };
})();
</script>"""


def browse(url: str) -> dict[str, Any]:
    """What a page of the site found, in a headless Chromium."""
    with launched() as browser, opened(browser) as tab:
        tab.page.goto(url)
        return dict(tab.page.evaluate("found"))


def test_a_page_of_another_site_calls_with_a_key(
    guarded: Server, server: Server, site: Site, keys: tuple[Path, str], clip: Path, expected: Any
) -> None:
    shutil.copy(clip, site.folder / "clip.wav")
    (site.folder / "page.html").write_text(PAGE % (json.dumps(guarded.url), json.dumps(keys[1])))
    found = browse(f"{site.url}/page.html")
    for way in ("form", "json", "gzip"):
        assert found[way].get("status") == 200, found[way]
        assert found[way]["body"]["probabilities"] == expected
    assert found["form"]["id"] == "from-the-page"
    assert (found["keyless"]["status"], found["keyless"]["body"]["error"]["code"]) == (401, "unauthorized")
    assert (found["not_audio"]["status"], found["nowhere"]["status"]) == (415, 404)
    assert found["nowhere"]["id"]
    # The same page under another origin, which is not named.
    other = site.url.replace("127.0.0.1", "localhost")
    refused = browse(f"{other}/page.html")
    assert {name: [*each] for name, each in refused.items()} == {name: ["failed"] for name in found}
    # And one that any site may call.
    (site.folder / "page.html").write_text(PAGE % (json.dumps(server.url), json.dumps("")))
    assert browse(f"{other}/page.html")["keyless"]["body"]["probabilities"] == expected
    log = server.log.read_text()
    assert log.count("EMOTIONS_CORS_ORIGINS=*: pages of every site may call this service") == 1


@pytest.mark.parametrize("document", ["v1/openapi.json", "docs.json"])
def test_schemathesis_finds_nothing_but_bytes_that_are_no_audio(server: Server, document: str, tmp_path: Path) -> None:
    accepted = ["2xx", "401", "403", "404", "409", "426", "429", *AUDIO_REFUSALS]
    (tmp_path / "schemathesis.toml").write_text(
        f"[checks]\npositive_data_acceptance.expected-statuses = {json.dumps(accepted)}\n"
    )
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/{document}", "--seed", "1"]
    options = ["--max-examples", "40", "--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--no-color"]
    patience = ["--suppress-health-check", "too_slow", "--request-timeout", "60"]  # the machine may be busy for a while
    assert int(re.findall(r"(\d+) generated", run(*command, *options, *patience, cwd=tmp_path))[0]) > 300
    assert "Traceback" not in server.log.read_text()


def test_promtool_finds_no_fault_in_the_metrics(server: Server, clip: Path) -> None:
    needs(bool(shutil.which("promtool")), "promtool, of Debian's package prometheus, is needed")
    server.post(clip.read_bytes())
    server.post(b"no audio")
    metrics = httpx.get(f"{server.url}/metrics", timeout=20).text
    assert 'route="/v1/predict"' in metrics
    assert run("promtool", "check", "metrics", input=metrics) == ""
