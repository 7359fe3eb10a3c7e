from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from emotions.bundle.named import MAX_BUNDLES, NamedPaths, named_bundles
from emotions.errors import BundleError, ConfigError

READ: TypeAdapter[tuple[tuple[str, Path], ...]] = TypeAdapter(NamedPaths)


@pytest.mark.parametrize(
    ("written", "pairs"),
    [
        ("", ()),
        ("a=x/a, b = y=z/b ,", (("a", Path("x/a")), ("b", Path("y=z/b")))),
        ("bundles", (("", Path("bundles")),)),
        ('{"a": "with, comma"}', (("a", Path("with, comma")),)),
        ({"a": "x"}, (("a", Path("x")),)),
    ],
)
def test_names_and_paths_are_read_from_a_text_or_an_object(
    written: object, pairs: tuple[tuple[str, Path], ...]
) -> None:
    assert READ.validate_python(written) == pairs


@pytest.mark.parametrize("written", ["a=x,a=y", "a/b=x", ".=x", "{", "é=x", f"{'n' * 65}=x", 3, {"a": 3}])
def test_names_that_cannot_stand_in_a_url_are_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        READ.validate_python(written)


def test_a_folder_gives_the_bundles_in_it_by_their_folders_names(tmp_path: Path, tiny_bundle: Path) -> None:
    for name in ("new", "old", ".half-written"):
        (tmp_path / name).symlink_to(tiny_bundle)
    (tmp_path / "nothing").mkdir()
    found = named_bundles([("", tmp_path), ("", tiny_bundle), ("own", Path("gone"))])
    assert found == {
        "new": tmp_path / "new",
        "old": tmp_path / "old",
        "tiny": tiny_bundle,
        "own": Path("gone").absolute(),
    }


def test_what_cannot_be_served_side_by_side_is_told(tmp_path: Path, tiny_bundle: Path) -> None:
    with pytest.raises(ConfigError, match="named 'tiny' already"):
        named_bundles([("tiny", tiny_bundle), ("", tiny_bundle)])
    with pytest.raises(ConfigError, match="give it a name"):
        named_bundles([("", tmp_path / "ein Bündel")])
    with pytest.raises(BundleError, match="holds no bundle"):
        named_bundles([("", tmp_path)])
    with pytest.raises(ConfigError, match=f"more than {MAX_BUNDLES} bundles"):
        named_bundles([(f"b{number}", tiny_bundle) for number in range(MAX_BUNDLES + 1)])
