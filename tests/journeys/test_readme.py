"""The README and the pages of docs: every command is run, or at least parsed, every link and picture is there."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.commands import finished
from tests.servers import REPOSITORY, Server, free_port, serving
from training.data.demo import make_demo_corpus

PAGES = [
    REPOSITORY / "README.md",
    *(
        REPOSITORY / "docs" / f"{name}.md"
        for name in re.findall(r"\(docs/([\w/-]+)\.md\)", (REPOSITORY / "README.md").read_text(encoding="utf-8"))
    ),
]
# First in the README's order, in which the commands are run; then what it does not name.
PAGES = list(dict.fromkeys([*PAGES, *sorted((REPOSITORY / "docs").rglob("*.md"))]))
TEXT = {page: page.read_text(encoding="utf-8") for page in PAGES}
ALL = "\n".join(TEXT.values())
BIN = Path(sys.executable).parent
BLOCK = re.compile(
    r"(?:<!-- (?P<note>[^>]*) -->\n)?```(?P<kind>bash|python)(?P<background> background)?\n(?P<text>.*?)```", re.S
)


@dataclass(frozen=True)
class Block:
    kind: str
    text: str
    background: bool
    parsed_only: bool

    @property
    def lines(self) -> list[str]:
        return [line for line in self.text.splitlines() if line.strip()]


BLOCKS = [
    Block(found["kind"], found["text"], bool(found["background"]), (found["note"] or "").startswith("parsed only"))
    for found in BLOCK.finditer(ALL)
]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as after ``make demo``, with a small model that trained for a few epochs."""
    folder = tmp_path_factory.mktemp("repository")
    for name in ("emotions", "training", "export", "serving", "configs", "tests"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "train.py", "Makefile", "requirements.lock", "requirements.uv.lock"):
        shutil.copy(REPOSITORY / name, folder / name)
    for path in (folder / "configs").rglob("*.config.json"):  # the commands are what is shown, not the figures
        text = re.sub(r'"max_epoch": \d+', '"max_epoch": 3', path.read_text(encoding="utf-8"))
        path.write_text(text.replace("efficientnet_b0", "test_efficientnet"), encoding="utf-8")
    make_demo_corpus(folder / "data" / "demo", takes=4)  # half of the demo's recordings
    run("emotions train --config-file configs/demo.config.json", folder)
    return folder


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "EMOTIONS_DEVICE": "cpu"}


def run(line: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def run_forked(line: str, folder: Path) -> str:
    """The same; a command of ``emotions`` alone is forked, which saves its imports."""
    words = shlex.split(line)
    if words[0] != "emotions" or set("|&;<>()$`*?[~#\n") & set(line):
        return run(line, folder)
    done = finished(*words[1:], cwd=folder, EMOTIONS_DEVICE="cpu")
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def server(workspace: Path) -> Iterator[Server]:
    """The README's server, on a port that is free."""
    (line,) = next(block.lines for block in BLOCKS if block.background)
    command, *arguments = shlex.split(line)
    with serving([str(BIN / command), *arguments], workspace, free_port()) as started:
        yield started


def test_the_readme_has_blocks_of_every_kind() -> None:
    assert {block.text for block in BLOCKS if block.background} == {"bentoml serve\n"}
    assert sum(block.kind == "python" for block in BLOCKS) >= 1
    assert sum(block.parsed_only for block in BLOCKS) >= 2
    assert ALL.count("```bash") + ALL.count("```python") == len(BLOCKS)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_command_and_snippet_runs_in_order(workspace: Path, server: Server) -> None:
    for block in BLOCKS:
        if block.parsed_only or block.background:
            continue
        if block.kind == "python":
            text = block.text.replace("http://127.0.0.1:3000", server.url)
            run(f"python - <<'END'\n{text}END", workspace)
            continue
        for line in block.lines:
            output = run_forked(line.replace("http://127.0.0.1:3000", server.url), workspace)
            if line.startswith("curl"):
                assert '"error"' not in output, output


COMMANDS = [block for block in BLOCKS if block.parsed_only and block.kind == "bash"]  # Python is parsed by test_docs


@pytest.mark.parametrize("line", [line for block in COMMANDS for line in block.lines])
def test_commands_that_are_not_run_are_well_formed(line: str, tmp_path: Path) -> None:
    words = list(itertools.dropwhile(re.compile(r"[A-Z_]+=").match, shlex.split(line)))
    if words[0] == "make":
        subprocess.run(
            ["make", "--dry-run", "--always-make", *words[1:]], cwd=REPOSITORY, check=True, capture_output=True
        )
    elif words[0] == "emotions":
        groups = {"bundle", "cache", "data", "encoders", "label"}
        help_text = run(f"emotions {shlex.join(words[1 : 3 if words[1] in groups else 2])} --help", tmp_path)
        for word in words[2:]:
            assert not word.startswith("--") or word in help_text
            assert not word.startswith("configs/") or (REPOSITORY / word).is_file()
    elif words[0] == "curl":
        assert words[1] == "-d"
        assert json.loads(words[2])["inputs"][0]["name"] == "audio"
        assert re.fullmatch(r"http://127\.0\.0\.1:3000/v2/models/\w+/infer", words[3])
    elif words[0] == "ln":
        (tmp_path / Path(words[-1]).parent).mkdir()
        run(line, tmp_path)
        assert (tmp_path / words[-1]).readlink() == Path(words[-2])
    elif words[0] == "docker":
        check_docker(words[1], words[2:])
    elif words[0] == "kubectl":
        check_kubectl(words[1:], tmp_path)
    elif words[0] == "ray":
        help_text = run(f"ray {words[1]} --help", tmp_path)
        assert all(word.partition("=")[0] in help_text for word in words[2:])
    else:
        assert words[:2] == ["python", "-m"]
        module = REPOSITORY / words[2].replace(".", "/")
        if not module.with_suffix(".py").is_file():
            help_text = run(f"python -m {words[2]} {words[3]} --help", tmp_path)
            assert all(word in help_text for word in words[4:] if word.startswith("--"))


WITH_VALUE = {"-e", "-f", "-t", "-p", "-v", "--build-arg", "--gpus", "--tmpfs", "--ulimit"}
SWITCHES = {"-it", "--ipc=host", "--read-only"}


def check_docker(command: str, words: list[str]) -> None:
    """A line of docker: options that exist, files and images that are there."""
    if command == "compose":
        assert (REPOSITORY / words[words.index("-f") + 1]).is_file()
        return
    options: dict[str, list[str]] = {}
    rest = iter(words)
    operands: list[str] = []
    for word in rest:
        if operands and command == "run":
            operands.append(word)
        elif word in WITH_VALUE:
            options.setdefault(word, []).append(next(rest))
        elif word.startswith("-"):
            assert word in SWITCHES, word
        else:
            operands.append(word)
    built = re.findall(r"docker build .* -t (\S+)", ALL)
    if command == "build":
        (dockerfile,) = options["-f"]
        # The build context: the repository, or the bundle that the README exports.
        assert operands == (["bundles/mine"] if "kubernetes" in dockerfile else ["."])
        arguments = [pair.partition("=")[0] for pair in options.get("--build-arg", [])]
        text = (REPOSITORY / dockerfile).read_text(encoding="utf-8")
        assert all(re.search(rf"^ARG {name}\b", text, re.M) for name in arguments)
        return
    assert command == "run"
    assert operands[0] in built
    assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in options.get("-p", [])), "published to the world"
    for word in operands[1:]:
        assert not word.startswith("./") or (REPOSITORY / word).is_file(), word


def check_kubectl(words: list[str], folder: Path) -> None:
    """A line of ``kubectl``: what it applies and names is in the manifests, its options exist."""
    manifests = REPOSITORY / "docker" / "kubernetes"
    if words[0] == "apply":
        assert words[1] == "-k"
        assert (REPOSITORY / words[2] / "kustomization.yaml").is_file()
    named = [word.partition("/") for word in words if re.fullmatch(r"(deployment|service)/\w+", word)]
    for kind, _, name in named:
        assert f"  name: {name}\n" in (manifests / "cpu" / f"{kind}.yaml").read_text(encoding="utf-8")
    assert named or words[0] in {"apply", "create"}
    if shutil.which("kubectl"):
        command = itertools.takewhile(lambda word: not re.search(r"[/=-]", word), words)
        help_text = run(f"kubectl {shlex.join(command)} --help", folder)
        assert all(word.partition("=")[0] in help_text for word in words if word.startswith("-"))


@pytest.mark.parametrize(
    "page",
    [*PAGES, *(REPOSITORY / name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md"))],
    ids=lambda page: page.stem,
)
def test_every_picture_file_and_heading_that_is_linked_is_there(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        if anchor:
            heading = rf"^#+ {anchor.replace('-', ' ')}$"
            assert re.search(heading, linked.read_text(encoding="utf-8"), re.M | re.I), target


def test_the_readme_is_short() -> None:
    assert len(TEXT[PAGES[0]].encode()) <= 10_000


def test_every_setting_of_the_service_is_in_the_table() -> None:
    from serving.settings import PREFIX, Settings

    for name in Settings.model_fields:
        assert f"`{PREFIX}{name.upper()}`" in ALL
