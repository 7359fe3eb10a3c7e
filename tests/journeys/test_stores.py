"""Bundles to S3 and back, against a real server of its protocol: Moto, on this machine alone."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.environments import ROOT, python_with
from tests.servers import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
REQUIREMENTS = ("moto[server]==5.2.5", "s3fs==2026.9.0")
Emotions = Callable[..., subprocess.CompletedProcess[str]]
MAKE_BUCKET = """
import os, s3fs
s3fs.S3FileSystem(client_kwargs={"endpoint_url": os.environ["AWS_ENDPOINT_URL"]}).mkdir("models")
"""
ALTER = """
import os, s3fs
store = s3fs.S3FileSystem(client_kwargs={"endpoint_url": os.environ["AWS_ENDPOINT_URL"]})
whole = store.cat_file("models/tiny/model.onnx")
store.pipe_file("models/tiny/model.onnx", whole[:-1] + bytes([whole[-1] ^ 1]))
"""
REMOVE_MANIFEST = """
import os, s3fs
store = s3fs.S3FileSystem(client_kwargs={"endpoint_url": os.environ["AWS_ENDPOINT_URL"]})
print(sorted(store.ls("models/tiny")))
store.rm_file("models/tiny/manifest.json")
"""


@pytest.fixture(scope="module")
def python() -> Path:
    return python_with(*REQUIREMENTS)


@pytest.fixture
def settings(python: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A new server with an empty bucket: the variables that name it, as a user sets them."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    named = {**keys, "AWS_ENDPOINT_URL": url, "AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}
    with (tmp_path / "moto.log").open("w") as log:
        command = [str(python), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **named})
        try:
            _wait(url, server)
            code(python, MAKE_BUCKET, named)
            yield named
        finally:
            server.terminate()
            server.wait(30)


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert server.poll() is None, "the server ended"
        try:
            httpx.get(url, timeout=5)
            return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail("the server does not answer")


def code(python: Path, text: str, settings: dict[str, str]) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **settings}
    done = subprocess.run(
        [str(python), "-c", text], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def emotions(python: Path, settings: dict[str, str], tmp_path: Path) -> Emotions:
    """``emotions(*arguments, **variables)``: the command where s3fs is installed."""

    def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        program = "import sys\nfrom emotions.cli import run\nsys.exit(run(sys.argv[1:]))"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **settings, **variables}
        return subprocess.run(
            [str(python), "-c", program, *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


def one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """It failed as a user's mistake does: one line on stderr, with these words."""
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_bundle_goes_to_s3_and_comes_back_whole(
    emotions: Emotions, tiny_bundle: Path, affect_bundle: Path, tmp_path: Path
) -> None:
    url = "s3://models/tiny"
    for _ in range(2):  # again: it is there
        pushed = emotions("bundle", "push", tiny_bundle, url)
        assert (pushed.returncode, pushed.stdout, pushed.stderr) == (0, f"{url}\n", "")
    pulled = emotions("bundle", "pull", url, "back")
    assert (pulled.returncode, pulled.stderr) == (0, "")
    assert files(tmp_path / "back") == files(tiny_bundle)
    one_line(emotions("bundle", "push", affect_bundle, url), "another bundle is there already")
    one_line(emotions("bundle", "pull", url, "back"), "back")


def test_what_was_altered_or_is_half_leaves_nothing(
    emotions: Emotions, python: Path, settings: dict[str, str], tiny_bundle: Path, tmp_path: Path
) -> None:
    assert emotions("bundle", "push", tiny_bundle, "s3://models/tiny").returncode == 0
    code(python, ALTER, settings)
    one_line(emotions("bundle", "pull", "s3://models/tiny", "back"), "model.onnx", "SHA-256")
    listed = code(python, REMOVE_MANIFEST, settings)
    assert "models/tiny/model.onnx" in listed
    one_line(emotions("bundle", "pull", "s3://models/tiny", "back"), "manifest.json cannot be fetched")
    assert not (tmp_path / "back").exists()


def test_a_bucket_that_is_not_there_or_is_not_ours_is_one_line(
    emotions: Emotions, tiny_bundle: Path, tmp_path: Path
) -> None:
    one_line(emotions("bundle", "push", tiny_bundle, "s3://nowhere/tiny"), "s3://nowhere/tiny", "cannot be written")
    one_line(emotions("bundle", "pull", "s3://nowhere/tiny", "back"), "s3://nowhere/tiny", "cannot be fetched")
    without = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    one_line(emotions("bundle", "push", tiny_bundle, "s3://models/tiny", **without), "cannot be written")
    gone = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}", "AWS_MAX_ATTEMPTS": "1"}
    one_line(emotions("bundle", "pull", "s3://models/tiny", "back", **gone), "cannot be fetched")
    assert not (tmp_path / "back").exists()


def test_what_may_be_read_may_not_be_written(
    emotions: Emotions, python: Path, settings: dict[str, str], tiny_bundle: Path, tmp_path: Path
) -> None:
    assert emotions("bundle", "push", tiny_bundle, "s3://models/tiny").returncode == 0
    keys = code(python, READER, settings).split()
    reader = {"AWS_ACCESS_KEY_ID": keys[0], "AWS_SECRET_ACCESS_KEY": keys[1]}
    assert httpx.post(f"{settings['AWS_ENDPOINT_URL']}/moto-api/reset-auth", content="0").status_code == 200
    assert emotions("bundle", "pull", "s3://models/tiny", "back", **reader).returncode == 0
    one_line(emotions("bundle", "push", tiny_bundle, "s3://models/other", **reader), "cannot be written", "Access")
    assert files(tmp_path / "back") == files(tiny_bundle)


READER = """
import json, os, boto3
made = boto3.client("iam", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
made.create_user(UserName="reader")
rule = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket", "s3:HeadObject"], "Resource": "*"}
policy = json.dumps({"Version": "2012-10-17", "Statement": [rule]})
made.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=policy)
key = made.create_access_key(UserName="reader")["AccessKey"]
print(key["AccessKeyId"], key["SecretAccessKey"])
"""
