"""The compose file, Prometheus and Grafana, as far as they can be checked without Docker."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from serving.settings import PREFIX, Settings
from serving.telemetry.metrics import Metrics
from tests.conftest import needs
from tests.dockerfiles import ROOT

DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
DASHBOARD = DOCKER / "monitoring" / "grafana" / "dashboards" / "emotions.json"


def exposed() -> set[str]:
    """Names of all samples that ``/metrics`` can show."""
    registry = CollectorRegistry()
    Metrics(registry)
    names = set()
    for metric in registry.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}[metric.type]
        names |= {metric.name + suffix for suffix in suffixes}
    return names


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_every_metric_of_the_dashboard_is_exposed_and_every_exposed_one_is_shown() -> None:
    named = {name for text in expressions() for name in re.findall(r"\bemotions_\w+", text)}
    assert named <= exposed()
    stems = {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in named}
    assert {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in exposed()} == stems


def test_expressions_are_balanced_and_name_labels_that_exist() -> None:
    labels = {"route", "method", "status", "reason", "target", "label", "le", "bundle", "variant", "device", "version"}
    labels |= {"model", "outcome", "statistic", "space"}
    for text in expressions():
        assert text.count("(") == text.count(")")
        for group in re.findall(r"by \(([^)]*)\)", text):
            assert {name.strip() for name in group.split(",")} <= labels, text


def test_panels_do_not_overlap_and_have_titles_of_their_own() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len({panel["title"] for panel in panels}) == len({panel["id"] for panel in panels})
    assert len(places) == len(panels)
    assert all(panel["description"] for panel in panels)


@pytest.mark.parametrize("path", sorted(DOCKER.rglob("*.yaml")), ids=lambda path: path.name)
def test_every_yaml_file_is_one(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


def test_what_is_built_and_mounted_is_there() -> None:
    build = SERVICES["serve"]["build"]
    context = (DOCKER / build["context"]).resolve()
    assert context == ROOT
    assert (context / build["dockerfile"]).is_file()
    assert set(build["args"]) <= set(re.findall(r"^ARG (\w+)", (context / build["dockerfile"]).read_text(), re.M))
    mounted = [volume for service in SERVICES.values() for volume in service["volumes"]]
    for volume in mounted:
        source = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume).split(":")[0]
        if source != "../bundles/mine":
            assert (DOCKER / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], volume


def test_ports_are_published_on_this_machine_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service["ports"]]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_images_are_pinned() -> None:
    for name, service in SERVICES.items():
        if name != "serve":
            assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"])


def test_the_service_is_told_by_settings_that_exist_and_who_may_come_in() -> None:
    environment = SERVICES["serve"]["environment"]
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert set(environment) <= known
    assert environment["EMOTIONS_ALLOW_ANONYMOUS"] == "1"
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"EMOTIONS_[A-Z_]+", text)) <= known
    grace = float(SERVICES["serve"]["stop_grace_period"].removesuffix("s"))
    assert grace > Settings().drain_sec + float(environment["EMOTIONS_DRAIN_DELAY_SEC"])


def test_prometheus_scrapes_the_service_and_grafana_asks_prometheus() -> None:
    scraped = yaml.safe_load((DOCKER / "monitoring" / "prometheus.yaml").read_text())["scrape_configs"][0]
    assert scraped["static_configs"] == [{"targets": ["serve:3000"]}]
    assert scraped["metrics_path"] == "/metrics"
    provisioning = DOCKER / "monitoring" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "emotions.yaml").read_text())["providers"]
    inside = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]
    assert provider["options"]["path"] in inside


RULES = DOCKER / "monitoring" / "rules"


def test_prometheus_is_given_the_rules_and_they_name_metrics_that_exist() -> None:
    config = yaml.safe_load((DOCKER / "monitoring" / "prometheus.yaml").read_text())
    assert [(DOCKER / "monitoring" / name).is_file() for name in config["rule_files"]] == [True]
    assert "./monitoring/rules:/etc/prometheus/rules:ro" in SERVICES["prometheus"]["volumes"]
    rules = yaml.safe_load((RULES / "drift.yaml").read_text())["groups"][0]["rules"]
    assert {name for rule in rules for name in re.findall(r"\bemotions_\w+", rule["expr"])} <= exposed()


@pytest.mark.parametrize("command", [("check", "drift.yaml"), ("test", "drift_test.yaml")])
def test_promtool_finds_no_fault_in_the_rules(command: tuple[str, str]) -> None:
    needs(bool(shutil.which("promtool")), "promtool, of Debian's package prometheus, is needed")
    how, file = command
    done = subprocess.run(["promtool", how, "rules", RULES / file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
