"""Write locks as CycloneDX bills of materials: ``python sbom/generate.py SITE_PACKAGES LOCK...``; see ``make lock``.

The same lock gives the same bytes: no time, no serial number, no address of an index. Licences are those that the
packages installed in SITE_PACKAGES declare, where the lock pins that version.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

_PINNED = re.compile(r"([a-z0-9._-]+)==(\S+)(?: ; ([^\\]+))?")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_UNKNOWN = "dependencies"
"""Which package needs which: a lock does not say."""
_LONGEST_LICENCE = 60
"""Characters; the field ``License`` of some packages holds the licence's text."""
_PROJECT = Path(__file__).parent.parent / "pyproject.toml"


def bill(lock: str, installed: Mapping[tuple[str, str], Distribution]) -> Bom:
    """The bill of materials of a lock.

    Args:
        lock: its text.
        installed: what is installed by name and version.
    """
    project = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]
    made = Bom()
    made.metadata.component = _component(project["name"], project["version"])
    for block in re.split(r"\n(?=\S)", lock.strip()):
        pinned = _PINNED.match(block)
        if pinned is None:
            raise SystemExit(f"no pinned package: {block[:80]}")
        name, version, marker = pinned.groups()
        component = _component(name, version)
        component.hashes = [HashType(alg=HashAlgorithm.SHA_256, content=each) for each in _HASH.findall(block)]
        if marker:
            component.properties = [Property(name="python:environment_marker", value=marker.strip())]
        if (name, version) in installed:
            component.licenses = _licences(installed[name, version])
        made.components.add(component)
    return made


def _component(name: str, version: str) -> Component:
    purl = PackageURL("pypi", None, name, version)
    return Component(type=ComponentType.LIBRARY, name=name, version=version, purl=purl, bom_ref=purl.to_string())


def _licences(installed: Distribution) -> list[License]:
    """As the package's metadata says: its SPDX expression, else its short name, else its classifiers."""
    make, metadata = LicenseFactory(), installed.metadata
    for key in ("License-Expression", "License"):
        if 0 < len(written := metadata.get(key, "").strip()) <= _LONGEST_LICENCE and written != "UNKNOWN":
            return [make.make_from_string(written)]
    classifiers = [each for each in metadata.get_all("Classifier", []) if each.startswith("License :: OSI Approved ::")]
    return [make.make_with_name(each.rpartition(" :: ")[2]) for each in classifiers]


def _stable(text: str) -> str:
    """The bill without what changes from run to run, and without what is not known."""
    content = json.loads(text)
    for key in ("serialNumber", _UNKNOWN):
        content.pop(key, None)
    content["metadata"].pop("timestamp")
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def main(site_packages: str, *locks: str) -> None:
    """Write the bill of materials of each lock beside this file, once it is valid."""
    found = distributions(path=[site_packages])
    installed = {(re.sub(r"[-_.]+", "-", each.name).lower(), each.version): each for each in found}
    for lock in map(Path, locks):
        text = _stable(JsonV1Dot6(bill(lock.read_text(encoding="utf-8"), installed)).output_as_string())
        if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
            raise SystemExit(f"{lock}: {fault}")
        Path(__file__).with_name(f"{lock.stem}.cdx.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
