"""The images, as far as they can be checked without a Docker engine: sources, pins, installations, the health check."""

from __future__ import annotations

import fnmatch
import http.server
import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.settings import PREFIX, Settings
from tests.dockerfiles import ROOT, Dockerfile

UV = str(Path(sys.executable).with_name("uv"))
IMAGES = {
    "train": Dockerfile("train.Dockerfile"),
    "serve": Dockerfile("serve.Dockerfile"),
    "serve-cpu": Dockerfile("serve.Dockerfile", DEVICE="cpu"),
}
image = pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)

READ_BY_OTHERS = {
    "BENTOML_DO_NOT_TRACK",
    "BENTOML_HOME",
    "HOME",
    "NVIDIA_DRIVER_CAPABILITIES",
    "NVIDIA_VISIBLE_DEVICES",
    "PATH",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONUNBUFFERED",
    "USER",
    "XDG_CACHE_HOME",
}


def test_every_dockerfile_is_looked_at() -> None:
    names = {path.name for path in (ROOT / "docker").glob("*.Dockerfile")}
    assert names == {"train.Dockerfile", "serve.Dockerfile"}


@image
def test_every_source_is_there_and_reaches_the_build(image: Dockerfile) -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in ignore if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    assert image.copies
    for source in [source for copy in image.copies for source in copy.sources]:
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source, rule) for rule in allowed), f"{source}: .dockerignore leaves it out"


def test_the_build_leaves_out_whatever_no_image_needs() -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sources = {source for image in IMAGES.values() for copy in image.copies for source in copy.sources}
    for rule in [line.removeprefix("!") for line in ignore if line.startswith("!")]:
        assert fnmatch.filter(sources, rule), f"{rule}: no image takes it"


@image
def test_base_images_are_pinned(image: Dockerfile) -> None:
    """By tag: a digest is given at build time, ``--build-arg BASE=``."""
    stages: set[str] = set()
    for line in image.all("FROM"):
        base, _, stage = line.partition(" AS ")
        assert base in stages or re.fullmatch(r"python:3\.1[123]-slim-[a-z]+", base), base
        stages.add(stage)


@image
def test_every_argument_and_variable_is_used(image: Dockerfile) -> None:
    for name in image.declared:
        assert f"${{{name}}}" in image.text, name
    settings = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    script = (ROOT / "docker" / "before_learn.sh").read_text(encoding="utf-8")
    for name in image.environment:
        assert name in settings | READ_BY_OTHERS or name in script, name


def test_the_variables_of_the_serving_image_are_right_settings() -> None:
    for name, device in {"serve": "cuda", "serve-cpu": "cpu"}.items():
        environment = IMAGES[name].environment
        assert (environment["EMOTIONS_DEVICE"], environment["EMOTIONS_BUNDLE"]) == (device, "/bundle")


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an empty virtual environment."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    return folder / "bin" / "python"


@image
def test_install_lines_resolve(image: Dockerfile, clean: Path) -> None:
    """Every package is there, with a right hash, as a wheel, for the image's Python; several locks agree."""
    version = re.findall(r"python:(\d\.\d+)", image.all("FROM")[0])[0]
    assert len(image.locks) == 3
    for line, locks in image.locks.items():
        assert "--require-hashes" in line
        options = ["--dry-run", "--quiet", "--require-hashes", "--only-binary", ":all:", "--python", str(clean)]
        platform = ["--python-version", version, "--python-platform", "x86_64-manylinux_2_36"]
        files = [word for lock in locks for word in ("-r", str(ROOT / lock))]
        files += ["--no-deps"] if "--no-deps" in line else []
        done = subprocess.run([UV, "pip", "install", *options, *platform, *files], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(("name", "lock"), [("serve", "serve-gpu"), ("serve-cpu", "serve")])
def test_the_serving_image_installs_what_a_server_needs(name: str, lock: str) -> None:
    image = Dockerfile("serve.Dockerfile", DEVICE="cpu" if name == "serve-cpu" else "cuda")
    base = next(line for line in image.all("FROM") if line.endswith(" AS build")).removesuffix(" AS build")
    at = image.instructions.index(("FROM", next(x for x in image.all("FROM") if x.endswith(f" AS {base}"))))
    assert image.instructions[at + 1] == ("COPY", f"requirements.{lock}.lock /src/packages.lock")


def test_the_wheel_builds_from_what_is_copied(tmp_path: Path) -> None:
    for source in [source for copy in IMAGES["serve"].copies for source in copy.sources]:
        path = ROOT / source
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, tmp_path / source)
    (line,) = [line for line in IMAGES["serve"].all("RUN") if line.startswith("uv build")]
    done = subprocess.run([UV, *shlex.split(line)[1:]], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert {"emotions/cli.py", "serving/service.py"} <= set(zipfile.ZipFile(wheel).namelist())


def test_the_server_is_not_root_and_holds_nothing_to_build_with() -> None:
    image = IMAGES["serve"]
    words = [word for word, _ in image.instructions]
    last = len(words) - 1 - words[::-1].index("FROM")
    final = image.instructions[last:]
    (user,) = [rest for word, rest in final if word == "USER"]
    assert int(user) > 0
    assert [rest for word, rest in final if word == "COPY"] == ["--from=build /opt/venv /opt/venv"]
    assert not any("install" in rest for word, rest in final if word == "RUN")


def test_the_server_is_started_by_a_command_that_exists() -> None:
    (command,) = IMAGES["serve"].all("CMD")
    name, *arguments = json.loads(command)
    done = subprocess.run(
        [Path(sys.executable).with_name(name), arguments[0], "--help"], capture_output=True, check=True
    )
    options = [word for word in arguments if word.startswith("--")]
    assert options
    assert all(option in done.stdout.decode() for option in options)


@pytest.fixture
def status() -> Iterator[list[int]]:
    """The status that the server on ``[0]``, a port, answers to ``/readyz`` with: ``[1]``."""
    answer = [0, 200]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer[1] if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        answer[0] = server.server_address[1]
        threading.Thread(target=server.serve_forever).start()
        yield answer
        server.shutdown()


@pytest.mark.parametrize(("answered", "healthy"), [(200, True), (503, False)])
def test_the_health_check_tells_ready_from_not_ready(status: list[int], answered: int, healthy: bool) -> None:
    status[1] = answered
    (check,) = IMAGES["serve"].all("HEALTHCHECK")
    name, *arguments = json.loads(check.partition("CMD ")[2])
    assert name == "python"
    assert ":3000/" in arguments[-1]
    command = [word.replace(":3000/", f":{status[0]}/") for word in arguments]
    done = subprocess.run([sys.executable, *command], capture_output=True, check=False)
    assert (done.returncode == 0) is healthy
