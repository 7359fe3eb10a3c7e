"""The documentation site: it builds in strict mode, holds every page, and says nothing that the code does not."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer

import emotions
from docs.site.build import SiteError, build
from docs.site.pages import DeadLinkError, sources
from emotions.cli import build_app
from serving.settings import Settings

ROOT = Path(__file__).parents[1]
LOADING = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src"), ("audio", "src")}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("built") / "site")


class _Loaded(HTMLParser):
    """What a page loads, and the classes that make the theme's script load more."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.classes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if (tag, name) in LOADING:
                self.addresses.append(value or "")
            if name == "class":
                self.classes.update((value or "").split())


def test_every_page_is_in_the_navigation_and_in_llms_txt(site: Path) -> None:
    front, listed = (site / "index.html").read_text(), (site / "llms.txt").read_text()
    navigation = front.partition('<nav class="md-nav md-nav--primary')[2].partition("</nav>\n</div>")[0]
    places = {place.as_posix() for place in sources(ROOT).values()}
    assert len(places) > 20
    for place in places:
        assert f'href="{place.removesuffix(".md")}.html' in navigation.replace('"./', '"'), place
        assert f"({place})" in listed
    for name in re.findall(r"\(([^()\s]+\.md)\)", listed):
        assert (site / name).is_file()


def test_a_page_loads_nothing_from_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        loaded = _Loaded(page.read_text())
        assert loaded.addresses
        assert not [each for each in loaded.addresses if re.match(r"(https?:)?//", each)], page
        assert not loaded.classes & {"mermaid", "glightbox"}, f"{page}: the theme would fetch a script for it"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small checkout whose site builds."""
    (tmp_path / "docs/how-to").mkdir(parents=True)
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(ROOT / "docs/how-to", tmp_path / "docs/how-to", dirs_exist_ok=True)
    for name in ("python", "service", "gpu"):
        (tmp_path / "docs/how-to" / f"{name}.md").write_text("# Page\n\n## Part\n")
    for page in (tmp_path / "docs/how-to").glob("*.md"):
        page.write_text("# Page\n\n## Part\n")
    (tmp_path / "docs/reference").mkdir()
    for name in ("http", "pipeline_file"):
        (tmp_path / "docs/reference" / f"{name}.md").write_text("# Page\n")
    (tmp_path / "README.md").write_text("# Front\n\n[part](docs/how-to/python.md#part)\n")
    return tmp_path


def test_a_new_page_needs_no_entry_anywhere(checkout: Path) -> None:
    (checkout / "docs/how-to/something_new.md").write_text("# Something new\n")
    built = build(checkout / "site", checkout)
    assert "Something new" in (built / "index.html").read_text()


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("[x](gone.md)", DeadLinkError),
        ("![x](gone.png)", DeadLinkError),
        ("[x](../../../outside.md)", DeadLinkError),
        ("[x](python.md#no-such-part)", SiteError),
        ("[x][no such reference]", DeadLinkError),
    ],
)
def test_a_link_that_leads_nowhere_is_an_error(checkout: Path, written: str, kind: type[Exception]) -> None:
    (checkout / "docs/how-to/page.md").write_text(f"# Page\n\n{written}\n")
    with pytest.raises(kind):
        build(checkout / "site", checkout)


def test_a_page_outside_the_sections_is_an_error(checkout: Path) -> None:
    (checkout / "docs/notes").mkdir()
    (checkout / "docs/notes/page.md").write_text("# Page\n")
    with pytest.raises(DeadLinkError, match=r"notes/page\.md: lies in none of the folders"):
        build(checkout / "site", checkout)


def _commands(command: object, name: str) -> Iterator[tuple[str, object]]:
    yield name, command
    for below, each in getattr(command, "commands", {}).items():
        yield from _commands(each, f"{name} {below}")


def test_the_reference_has_every_command_setting_and_python_name(site: Path) -> None:
    text = {page.stem: page.read_text() for page in (site / "reference").glob("*.md")}
    commands = dict(_commands(typer.main.get_command(build_app()), "emotions"))
    assert len(commands) > 10
    assert set(re.findall(r"^## `(.+)`$", text["command_line"], re.M)) == {
        name for name, command in commands.items() if not getattr(command, "hidden", False)
    }
    rows = dict(re.findall(r"^\| `EMOTIONS_(\w+)` \| (\S*) ?\|", text["settings"], re.M))
    assert {name.lower() for name in rows} == set(Settings.model_fields)
    assert rows["MAX_ITEMS"] == f"`{Settings.model_fields['max_items'].default}`"
    for name in emotions.__all__:
        assert name.startswith("_") or f"## `emotions.{name}`" in text["python_interface"]


def _strings(root: Path) -> Iterator[str]:
    """Every string of the packages, a hole of an f-string as ``…``."""
    for package in ("emotions", "training", "export", "serving"):
        for path in (root / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def test_every_message_in_troubleshooting_is_one_of_the_code() -> None:
    page = (ROOT / "docs/how-to/troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^## `(.+)`$", page, re.M)
    assert len(quoted) > 10
    assert page.count("\n## ") == len(quoted)
    strings = set(_strings(ROOT))
    for message in quoted:
        assert message in strings, message


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_python_on_a_page_is_python(page: Path) -> None:
    for block in re.findall(r"^```python[^\n]*\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M):
        compile(block, str(page), "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
