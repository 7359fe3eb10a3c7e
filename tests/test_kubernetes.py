"""The manifests for Kubernetes: ports, paths, settings, metrics and limits are those of the code."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.http.route_table import ROUTES
from serving.settings import PREFIX, Settings
from tests.dockerfiles import ROOT, Dockerfile
from tests.test_monitoring import exposed

FOLDER = ROOT / "docker" / "kubernetes"
PAGE = (ROOT / "docs" / "how-to" / "kubernetes.md").read_text(encoding="utf-8")
OVERLAYS = ("cpu", "gpu")


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return content


DEPLOYMENT = read("cpu/deployment.yaml")["spec"]
POD: dict[str, Any] = DEPLOYMENT["template"]["spec"]
(CONTAINER,) = POD["containers"]
ENVIRONMENT = {each["name"]: each["value"] for each in CONTAINER["env"]}
IMAGE = Dockerfile("serve.Dockerfile", DEVICE="cpu")
UNITS = {"Mi": 1 << 20, "Gi": 1 << 30}


def quantity(text: str) -> int:
    return int(text[:-2]) * UNITS[text[-2:]]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_that_is_applied_is_there_and_nothing_is_forgotten(overlay: str) -> None:
    kustomization = read(f"{overlay}/kustomization.yaml")
    patches = [patch["path"] for patch in kustomization.get("patches", [])]
    named = [FOLDER / overlay / name for name in [*kustomization["resources"], *patches]]
    assert all(path.exists() for path in named)
    others = {path for path in (FOLDER / overlay).glob("*.yaml") if path.name != "kustomization.yaml"}
    assert others == {path for path in named if path.is_file()}
    (image,) = kustomization["images"]
    assert image["name"] == CONTAINER["image"]
    assert f"{image['name']}:{image['newTag']}" in PAGE
    assert f"kubectl apply -k docker/kubernetes/{overlay}" in PAGE


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_builds_it(overlay: str) -> None:
    done = subprocess.run(["kubectl", "kustomize", FOLDER / overlay], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kinds = {each["kind"]: each for each in yaml.safe_load_all(done.stdout)}
    limits = kinds["Deployment"]["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert ("nvidia.com/gpu" in limits) is (overlay == "gpu")
    assert {"Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"} <= set(kinds)


def test_everything_leads_to_the_port_and_the_pods_of_the_service() -> None:
    (port,) = CONTAINER["ports"]
    assert str(port["containerPort"]) in IMAGE.all("EXPOSE")
    labels = DEPLOYMENT["template"]["metadata"]["labels"]
    service, policy = read("cpu/service.yaml")["spec"], read("cpu/network_policy.yaml")["spec"]
    selectors = [DEPLOYMENT["selector"]["matchLabels"], service["selector"], policy["podSelector"]["matchLabels"]]
    selectors.append(read("cpu/disruption_budget.yaml")["spec"]["selector"]["matchLabels"])
    assert all(selector == labels for selector in selectors)
    assert [each["targetPort"] for each in service["ports"]] == [port["name"]]
    assert [each["port"] for each in policy["ingress"][0]["ports"]] == [port["name"]]
    annotations = DEPLOYMENT["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(port["containerPort"])


def test_what_is_asked_without_a_key_is_public() -> None:
    public = {route.path for route in ROUTES if route.public}
    probes = [CONTAINER[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    assert [probe["path"] for probe in probes] == ["/readyz", "/readyz", "/livez"]
    assert {probe["port"] for probe in probes} == {CONTAINER["ports"][0]["name"]}
    annotations = DEPLOYMENT["template"]["metadata"]["annotations"]
    assert {*(probe["path"] for probe in probes), annotations["prometheus.io/path"]} <= public


def test_a_pod_has_time_to_drain_and_balancers_to_notice() -> None:
    delay = float(ENVIRONMENT["EMOTIONS_DRAIN_DELAY_SEC"])
    assert POD["terminationGracePeriodSeconds"] > Settings().drain_sec + delay
    readiness = CONTAINER["readinessProbe"]
    assert readiness["periodSeconds"] * readiness["failureThreshold"] <= delay


def test_settings_exist_and_files_are_mounted_where_they_are_read() -> None:
    text = (FOLDER / "cpu" / "deployment.yaml").read_text(encoding="utf-8") + PAGE
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"EMOTIONS_[A-Z_]+", text)) <= known
    mounts = {mount["name"]: mount for mount in CONTAINER["volumeMounts"]}
    assert {volume["name"] for volume in POD["volumes"]} == set(mounts)
    keys = Path(ENVIRONMENT["EMOTIONS_API_KEYS_FILE"])
    assert str(keys.parent) == mounts["keys"]["mountPath"]
    assert f"create secret generic {POD['volumes'][0]['secret']['secretName']} --from-file={keys.name}" in PAGE
    assert IMAGE.environment["BENTOML_HOME"].startswith(mounts["tmp"]["mountPath"])


def test_memory_suffices_for_what_the_settings_let_in() -> None:
    limits = CONTAINER["resources"]["limits"]
    assert limits == CONTAINER["resources"]["requests"]
    settings = Settings(decode_threads=int(limits["cpu"]))
    worker = 512 << 20
    needed = worker + settings.held_bytes + int(limits["cpu"]) * settings.decoder_memory
    assert needed <= 0.75 * quantity(limits["memory"])
    (tmp,) = [volume for volume in POD["volumes"] if volume["name"] == "tmp"]
    assert quantity(tmp["emptyDir"]["sizeLimit"]) > settings.held_bytes


def test_nothing_runs_as_root_or_writes_elsewhere() -> None:
    assert int(IMAGE.all("USER")[-1]) == POD["securityContext"]["runAsUser"]
    assert POD["securityContext"]["runAsNonRoot"]
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"]
    assert not CONTAINER["securityContext"]["allowPrivilegeEscalation"]
    assert CONTAINER["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert read("cpu/network_policy.yaml")["spec"]["egress"] == []


def test_the_autoscaler_asks_for_a_metric_that_the_service_has_and_the_adapter_gives() -> None:
    autoscaler = read("cpu/autoscaler.yaml")["spec"]
    assert autoscaler["scaleTargetRef"]["name"] == read("cpu/deployment.yaml")["metadata"]["name"]
    (asked,) = [metric["pods"]["metric"]["name"] for metric in autoscaler["metrics"] if metric["type"] == "Pods"]
    (rule,) = read("prometheus_adapter.yaml")["rules"]["custom"]
    assert asked == rule["seriesQuery"].partition("{")[0]
    assert asked in exposed()
    assert f"`{asked}`" in PAGE


def test_the_image_has_the_bundle_where_it_is_read() -> None:
    image = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    assert f"COPY --chown={POD['securityContext']['runAsUser']} . {IMAGE.environment['EMOTIONS_BUNDLE']}" in image
    assert re.search(r"^ARG IMAGE=emotions-serve:cpu$", image, re.M)


def test_a_gpu_pod_is_the_same_container_with_one_gpu() -> None:
    (patched,) = read("gpu/deployment.yaml")["spec"]["template"]["spec"]["containers"]
    assert patched["name"] == CONTAINER["name"]
    assert patched["resources"]["limits"]["nvidia.com/gpu"] == "1"
