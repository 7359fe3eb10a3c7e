"""A Space's README: front matter that the Hub reads, whatever the bundle is called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from emotions.bundle.bundle import read_bundle
from serving.http.page.static_site.space import space_readme


@pytest.mark.parametrize(
    "name", ["tiny", "a: b\n---\nsdk: docker", '"quoted" <b>bold</b> [x](javascript:1)', "эмоции", "x" * 200]
)
def test_the_front_matter_is_the_sites(tiny_bundle: Path, name: str) -> None:
    bundle = read_bundle(tiny_bundle)
    readme = space_readme(replace(bundle, manifest=bundle.manifest.model_copy(update={"name": name})))
    _, front, text = readme.split("---\n", 2)
    read = yaml.safe_load(front)
    assert (read["sdk"], read["app_file"]) == ("static", "index.html")
    assert read["custom_headers"]["cross-origin-embedder-policy"] == "require-corp"
    assert 0 < len(read["title"]) <= 100
    assert "<b>" not in text.replace("\\<", "")
    assert "angry, happy, sad" in text
