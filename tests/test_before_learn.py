"""``docker/before_learn.sh``, run for real between stand-ins for TensorBoard and Jupyter."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "docker" / "before_learn.sh"
BIN = Path(sys.executable).parent

# Records what it was started with, then that it was stopped.
STAND_IN = """#!/usr/bin/env bash
trap 'echo stopped >>"$RECORD/{name}"; exit' TERM
echo "$* token=${{JUPYTER_TOKEN:-}}" >"$RECORD/{name}"
while true; do sleep 0.05; done
"""
# The run: waits until both servers are up, so that what it does next is never too early.
RUN = """
import os, pathlib, signal, sys, time
record = pathlib.Path(os.environ["RECORD"])
while not all((record / name).is_file() for name in ("tensorboard", "jupyter")):
    time.sleep(0.02)
(record / "run").write_text(" ".join([*sys.argv[1:], "token=" + os.environ.get("JUPYTER_TOKEN", "")]))
try:
    {body}
except KeyboardInterrupt:
    sys.exit(5)
"""
GRACEFUL = (
    "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), sys.exit(6))); (record / 'up').touch(); time.sleep(60)"
)


class Place:
    """A folder with a run, its stand-ins, and what they recorded."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin, self.record = folder, folder / "bin", folder / "record"
        self.bin.mkdir()
        self.record.mkdir()
        (self.bin / "python").symlink_to(sys.executable)
        for name in ("tensorboard", "jupyter"):
            self.command(name, STAND_IN.format(name=name))

    def command(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        clean = {name: value for name, value in os.environ.items() if name not in {"JUPYTER_TOKEN", "SERVERS_ADDRESS"}}
        return subprocess.Popen(
            # Where the tests run in the background Ctrl-C is ignored, and so it would be by the script.
            ["env", "--default-signal=INT", *words],
            cwd=self.folder,
            env={**clean, "PATH": f"{self.bin}:/usr/bin:/bin", "RECORD": str(self.record), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, body: str, *words: str, **environment: str) -> subprocess.Popen[str]:
        (self.folder / "run.py").write_text(RUN.format(body=body))
        return self.start(str(SCRIPT), "run.py", *words, **environment)

    def __getitem__(self, name: str) -> str:
        return (self.record / name).read_text().strip()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("code", [0, 7])
def test_both_servers_run_beside_the_script_and_its_exit_code_is_ours(place: Place, code: int) -> None:
    process = place.run(f"sys.exit({code})", "train", "--config-file", "a b.json")
    _, said = process.communicate(timeout=30)
    assert process.returncode == code, said
    assert place["run"].startswith("train --config-file a b.json ")
    tensorboard, jupyter = place["tensorboard"].splitlines(), place["jupyter"].splitlines()
    assert tensorboard[1:] == jupyter[1:] == ["stopped"]
    assert "--port 6006" in tensorboard[0]
    assert "--port 8888" in jupyter[0]
    assert "http://127.0.0.1:6006" in said


def test_a_token_is_drawn_each_time_and_printed(place: Place) -> None:
    drawn = set()
    for _ in range(2):
        process = place.run("sys.exit(0)", JUPYTER_TOKEN="")
        _, said = process.communicate(timeout=30)
        token = place["jupyter"].splitlines()[0].partition("token=")[2]
        assert len(token) >= 20
        assert f"http://127.0.0.1:8888/lab?token={token} " in said
        drawn.add(token)
        shutil.rmtree(place.record)
        place.record.mkdir()
    assert len(drawn) == 2


def test_a_token_that_is_given_goes_to_jupyter_alone(place: Place) -> None:
    given = "mine and mine alone"
    process = place.run("sys.exit(0)", JUPYTER_TOKEN=given)
    said = "".join(process.communicate(timeout=30))
    assert given not in said
    arguments, _, token = place["jupyter"].splitlines()[0].partition(" token=")
    assert token == given
    assert given not in arguments
    assert place["tensorboard"].splitlines()[0].endswith("token=")
    assert place["run"].endswith("token=")


@pytest.mark.parametrize(("environment", "address"), [({}, "127.0.0.1"), ({"SERVERS_ADDRESS": "0.0.0.0"}, "0.0.0.0")])  # noqa: S104
def test_servers_listen_on_this_machine_unless_told_otherwise(
    place: Place, environment: dict[str, str], address: str
) -> None:
    place.run("sys.exit(0)", **environment).communicate(timeout=30)
    assert f"--host {address} " in place["tensorboard"]
    assert f"--ip {address} " in place["jupyter"]


def test_a_sigterm_lets_the_run_end_in_its_own_way(place: Place) -> None:
    process = place.run(GRACEFUL)
    wait_for(place.record / "up")
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 6
    assert "stopped" in place["tensorboard"]
    assert "stopped" in place["jupyter"]


def test_ctrl_c_reaches_the_run(place: Place) -> None:
    process = place.run("(record / 'up').touch(); time.sleep(60)")
    wait_for(place.record / "up")
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 5
    assert "stopped" in place["jupyter"]


def test_a_server_that_fell_over_is_told_and_the_run_goes_on(place: Place) -> None:
    place.command("jupyter", '#!/usr/bin/env bash\necho "port 8888 is taken" >&2\ntouch "$RECORD/jupyter"\nexit 1\n')
    process = place.run("time.sleep(0.5); sys.exit(0)")
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Jupyter had ended by itself:\nport 8888 is taken" in said


def test_a_server_that_does_not_want_to_stop_is_killed(place: Place) -> None:
    place.command(
        "jupyter", '#!/usr/bin/env bash\ntrap "" TERM\necho $$ >"$RECORD/jupyter"\nwhile :; do sleep 0.1; done'
    )
    process = place.run("sys.exit(0)")
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert not Path(f"/proc/{place['jupyter']}").exists()


def test_mistakes_are_told_before_anything_starts(place: Place) -> None:
    process = place.start(str(SCRIPT))
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said.startswith("usage: ")) == (2, True)
    (place.bin / "jupyter").unlink()
    process = place.start(str(SCRIPT), "train.py")
    _, said = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "there is no jupyter here" in said
    assert not list(place.record.iterdir())


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)


def test_shell_scripts_pass_the_linters() -> None:
    scripts = [str(SCRIPT), str(ROOT / ".ci" / "run")]
    for script in scripts:
        subprocess.run(["bash", "-n", script], check=True)
        assert os.access(script, os.X_OK), script
    shellcheck = shutil.which("shellcheck", path=f"{BIN}:{os.environ['PATH']}")
    if shellcheck is None:
        pytest.skip("bash -n passed; shellcheck is not installed")
    done = subprocess.run([shellcheck, *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_words_of_emotions_classify_train(place: Place) -> None:
    """What follows the image's name in its ``docker run`` lines, in a copy of the repository."""
    for name in ("emotions", "training", "export", "serving", "configs", "docker"):
        shutil.copytree(ROOT / name, place.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train.py", place.folder)
    (place.bin / "python").unlink()
    place.command("python", f'#!/usr/bin/env bash\nexec {shlex.quote(sys.executable)} "$@"\n')
    subprocess.run([BIN / "emotions", "data", "demo", "data"], cwd=place.folder, check=True)
    for clip in (place.folder / "data").glob("*/*.wav"):
        if clip.stem.split("_")[1] not in {"s1", "s2"}:
            clip.unlink()
    quick = (place.folder / "configs" / "test.config.json").read_text().replace('"max_epoch": 2', '"max_epoch": 1')
    (place.folder / "configs" / "config.json").write_text(quick)
    with_servers = "./docker/before_learn.sh train.py train --config-file ./configs/test.config.json"
    for line in (with_servers, "python train.py train --config-file ./configs/config.json"):
        program, *words = shlex.split(line)
        found = str(place.bin / program) if program == "python" else program
        process = place.start(found, *words)
        said = "".join(process.communicate(timeout=200))
        assert process.returncode == 0, said
    assert len(list((place.folder / "runs" / "SpectrogramCnnClassifier").glob("*/metrics.json"))) == 2
    assert list((place.folder / "logs").rglob("events.out.tfevents.*"))
    assert "stopped" in place["tensorboard"]
