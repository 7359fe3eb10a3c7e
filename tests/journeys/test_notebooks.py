"""The notebook of the tutorial, executed cell by cell in a kernel of its own."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.servers import REPOSITORY

TUTORIALS = REPOSITORY / "docs" / "tutorial"
NOTEBOOKS = sorted(TUTORIALS.glob("*.ipynb"))


def read(path: Path) -> nbformat.NotebookNode:
    notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)
    return notebook


def outputs(notebook: nbformat.NotebookNode) -> Iterator[str]:
    """What was printed, and the types of what was shown."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            yield output.get("text", "") + " ".join(output.get("data", {}))


def test_every_tutorial_has_a_notebook_and_names_it() -> None:
    pages = sorted(TUTORIALS.glob("*.md"))
    assert [path.stem for path in NOTEBOOKS] == [page.stem for page in pages]
    for page in pages:
        assert f"({page.stem}.ipynb)" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs_and_links_to_pages_that_are_there(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        for target in re.findall(r"\]\(([^):]+)\)", cell.source if cell.cell_type == "markdown" else ""):
            assert (path.parent / target).is_file(), target


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_commands_of_a_notebook_are_those_of_its_tutorial(path: Path) -> None:
    page = path.with_suffix(".md").read_text(encoding="utf-8")
    commands = [
        line
        for cell in read(path).cells
        for line in cell.source.splitlines()
        if line.startswith("emotions ") and "--plot" not in line
    ]
    assert len(commands) >= 5
    assert all(f"\n{command}\n" in page for command in commands)


@pytest.mark.slow
@pytest.mark.timeout(2700)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    monkeypatch.setenv("EMOTIONS_DEVICE", "cpu")
    notebook = read(path)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=900, startup_timeout=300, iopub_timeout=60, resources=resources).execute()
    shown = "\n".join(outputs(notebook))
    assert "bundle: bundles/recordings" in shown
    assert shown.count("image/png") == 2
    assert "audio" in shown or "text/html" in shown
    answers = re.findall(r"^(angry|happy|neutral|sad) (?:\{|0|1)", shown, re.M)
    assert len(answers) == 2
    assert answers[0] == answers[1], "from Python and over HTTP"
