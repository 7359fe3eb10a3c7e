"""The rooms of the packages: no circle of imports, lazy and typing ones included, and few entries at first look."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("emotions", "training", "export", "serving")
MOST_ENTRIES = 12
"""Modules and folders of a package at first look."""
FORMER = {
    *(
        "app",
        "answers",
        "bundler",
        "database",
        "drain",
        "exchange",
        "flow",
        "forms",
        "half",
        "hollow",
        "journal",
        "keys",
    ),
    *("lists", "onnx_graph", "own_folder", "quantise", "resolve", "rival", "routes", "streaming", "upload", "wire"),
}
"""Modules of the flat layout before 0.2."""

Graph = Mapping[str, set[str]]


def _modules(root: Path) -> dict[str, Path]:
    found = (path for package in PACKAGES for path in (root / package).rglob("*.py"))
    return {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in found}


def _imports(path: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    """Modules of ours that a file imports anywhere: at its top, in a function, for typing alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in modules else str(node.module) for name in names)


def _graph(root: Path) -> dict[str, set[str]]:
    modules = _modules(root)
    facades = {name for name, path in modules.items() if path.name == "__init__.py"}
    return {
        name: {used for used in _imports(path, modules) if used in modules} - facades - {name}
        for name, path in modules.items()
        if name not in facades
    }


def _folders(graph: Graph, package: str, depth: int) -> dict[str, set[str]]:
    """The graph of the entries at a depth below a package."""
    found: dict[str, set[str]] = {}
    for name, used in graph.items():
        if name.startswith(f"{package}."):
            entry = ".".join(name.split(".")[: depth + 1])
            others = {".".join(each.split(".")[: depth + 1]) for each in used if each.startswith(f"{package}.")}
            found.setdefault(entry, set()).update(others - {entry})
    return found


def _circle(graph: Graph) -> list[str]:
    """Names on a circle, or none: what is left when all are taken away that import nothing that is left."""
    left = {name: {each for each in used if each in graph} for name, used in graph.items()}
    while free := {name for name, used in left.items() if not used}:
        left = {name: used - free for name, used in left.items() if name not in free}
    return sorted(left)


def test_no_circle_of_modules() -> None:
    assert _circle(_graph(ROOT)) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_circle_of_folders(package: str) -> None:
    graph = _graph(ROOT)
    for depth in (1, 2):
        assert _circle(_folders(graph, package, depth)) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_few_entries_at_first_look(package: str) -> None:
    entries = {
        path.stem
        for path in (ROOT / package).iterdir()
        if path.suffix == ".py" or (path.is_dir() and (path / "__init__.py").exists())
    } - {"__init__"}
    assert len(entries) <= MOST_ENTRIES
    assert not entries & FORMER


@pytest.mark.parametrize("kind", ["plain", "in a function", "for typing"])
def test_a_circle_is_found(tmp_path: Path, kind: str) -> None:
    back = {
        "plain": "from emotions.a.one import x\n",
        "in a function": "def f():\n    from emotions.a import one\n",
        "for typing": "if TYPE_CHECKING:\n    import emotions.a.one\n",
    }[kind]
    for name, text in (("a/one", "import emotions.b.two\n"), ("b/two", back)):
        path = tmp_path / "emotions" / f"{name}.py"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert _circle(_graph(tmp_path)) == ["emotions.a.one", "emotions.b.two"]
    assert _circle(_folders(_graph(tmp_path), "emotions", 1)) == ["emotions.a", "emotions.b"]
