"""``emotions bundle to-web`` and ``to-space``: a bundle as a site that needs no server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emotions.pipeline.options import BundlePath

if TYPE_CHECKING:
    from serving.http.page.static_site.to_web import Site

_Variant = Annotated[str, typer.Option(metavar="V", help="Form of the model: fp32, or int8 to be smaller.")]
_Runtime = Annotated[
    Path | None,
    typer.Option("--runtime", metavar="FILE", help="npm's tarball of onnxruntime-web, where it was carried here."),
]
_WebGpu = Annotated[bool, typer.Option("--webgpu", help="With the runtime for GPUs; used where the probe passes.")]


def to_web(
    bundle: BundlePath,
    site: Annotated[Path, typer.Argument(metavar="SITE", help="Folder to write; it must not be there yet.")],
    variant: _Variant = "fp32",
    runtime: _Runtime = None,
    webgpu: _WebGpu = False,
) -> None:
    """Write a static site: the page with the bundle in it, which answers in the browser. Nothing is uploaded."""
    _report(_written(bundle, site, variant, runtime, webgpu=webgpu))
    typer.echo(f"next: python -m http.server --bind 127.0.0.1 --directory {site}")


def to_space(
    bundle: BundlePath,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to write; it must not be there yet.")],
    variant: _Variant = "fp32",
    runtime: _Runtime = None,
    webgpu: _WebGpu = False,
) -> None:
    """Write a static Space of Hugging Face: the site of to-web, and the README that the Hub reads."""
    from emotions.bundle.bundle import read_bundle
    from serving.http.page.static_site.space import space_readme

    written = _written(bundle, folder, variant, runtime, webgpu=webgpu, readme=space_readme(read_bundle(bundle)))
    _report(written)
    typer.echo(f"next: huggingface-cli upload --repo-type space NAME/SPACE {folder}")


def _written(path: Path, output: Path, variant: str, tarball: Path | None, *, webgpu: bool, readme: str = "") -> Site:
    from emotions.bundle.bundle import read_bundle
    from emotions.files.atomic import refuse_existing
    from serving.http.page.static_site.runtime import read_runtime
    from serving.http.page.static_site.to_web import check_fits, write_site

    bundle = read_bundle(path)
    check_fits(bundle, variant)
    refuse_existing(output)
    return write_site(bundle, output, read_runtime(tarball, webgpu=webgpu), variant=variant, readme=readme)


def _report(site: Site) -> None:
    typer.echo(f"site: {site.path}")
    typer.echo(f"size: {site.site_bytes / 1e6:.1f} MB, the model {site.model_bytes / 1e6:.1f} MB of it")
    typer.echo(f"speed: {site.speed}")
    if not site.speech:
        typer.echo("speech: not found in it, as the package silero-vad is not installed here")
