"""Whether deploy/kubernetes/ fits Airflow's official chart, and what the chart makes of it fits Kubernetes.

The values are checked against the chart's schema. What the chart renders is checked only where the environment names
the program, the chart and the schema: ``PATTERNS_TEST_HELM`` (helm 3), ``PATTERNS_TEST_CHART`` (the chart) and
``PATTERNS_TEST_KUBERNETES_SCHEMA`` (``api/openapi-spec/swagger.json`` of Kubernetes).
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from tests.conftest import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
SCHEMA = Draft7Validator(json.loads((Path(__file__).parent / "schemas" / "airflow-chart-1.20.json").read_text()))
VARIANTS = {"image": [], "git-bundle": ["values.git-bundle.yaml"], "git-sync": ["values.git-sync.yaml"]}
TOOLS = ("PATTERNS_TEST_HELM", "PATTERNS_TEST_CHART", "PATTERNS_TEST_KUBERNETES_SCHEMA")
NO_TOOLS = ", ".join(name for name in TOOLS if name not in os.environ)
FOREIGN = {"git-sync", "git-sync-init"}
"""Containers with images of others."""

variants = pytest.mark.parametrize("variant", VARIANTS)


def files(variant: str) -> list[Path]:
    return [FOLDER / name for name in ["values.yaml", *VARIANTS[variant]]]


def merged(variant: str) -> dict[str, Any]:
    """The values as Helm merges them: maps by key, lists as a whole."""

    def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
        both = {
            key: merge(below[key], above[key]) if isinstance(below[key], dict) else above[key]
            for key in below.keys() & above.keys()
        }
        return below | above | both

    values: dict[str, Any] = {}
    for file in files(variant):
        values = merge(values, yaml.safe_load(file.read_text()))
    return values


@variants
def test_the_values_fit_the_charts_schema(variant: str) -> None:
    assert [error.message for error in SCHEMA.iter_errors(merged(variant))] == []


def test_the_schema_refuses_a_name_that_the_chart_does_not_know() -> None:
    values = merged("image")
    values["scheduler"]["resource"] = {}
    assert [list(error.absolute_path) for error in SCHEMA.iter_errors(values)] == [["scheduler"]]


@variants
def test_no_secret_stands_in_the_values(variant: str) -> None:
    values = merged(variant)
    assert set(values["data"]) == {"metadataSecretName"}
    direct = {"fernetKey", "apiSecretKey", "jwtSecret", "webserverSecretKey", "extraSecrets"}
    assert not direct & set(values)
    assert not re.search(
        r"(?i)password: *\S|://[^/\s]+:[^/\s]+@|PRIVATE KEY", "".join(map(Path.read_text, files(variant)))
    )


@variants
def test_every_container_has_requests_and_limits_and_no_privilege(variant: str) -> None:
    values = merged(variant)
    parts = ["apiServer", "dagProcessor", "scheduler", "triggerer", "workers", "migrateDatabaseJob", "cleanup"]
    for resources in [values[part]["resources"] for part in parts]:
        assert set(resources) == {"requests", "limits"}
        assert set(resources["requests"]) == set(resources["limits"]) == {"cpu", "memory"}
    assert values["securityContexts"]["containers"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert values["securityContexts"]["pod"]["runAsNonRoot"] is True


@variants
def test_the_values_and_the_image_agree(variant: str) -> None:
    values = merged(variant)
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    assert f"USER {values['uid']}:{values['gid']}\n" in dockerfile
    assert values["securityContexts"]["pod"]["runAsUser"] == values["uid"]
    version = re.search(r"^apache-airflow==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert version
    assert values["airflowVersion"] == values["defaultAirflowTag"] == version[1]
    assert values["images"]["airflow"] == values["images"]["pod_template"]
    assert values["images"]["airflow"]["tag"] == f"{version[1]}-kubernetes"
    script = Path(values["apiServer"]["args"][1]).relative_to("/opt/airflow/bundle")
    assert (ROOT / script).is_file()
    [bundle] = values["dagProcessor"]["dagBundleConfigList"]
    assert bundle["name"] == "code_patterns"


def test_the_image_for_kubernetes_differs_from_the_other_by_what_the_executor_needs() -> None:
    package = re.compile(r"^([a-z0-9._-]+)==(\S+)", re.MULTILINE)
    worker, kubernetes = (
        dict(package.findall(path.read_text()))
        for path in (ROOT / "requirements-worker.lock", FOLDER / "requirements.lock")
    )
    assert "apache-airflow-providers-cncf-kubernetes" in kubernetes
    assert worker.items() <= kubernetes.items()


def rendered(variant: str) -> list[dict[str, Any]]:
    """What the chart makes of the values, the pod of a task included."""
    command = [os.environ["PATTERNS_TEST_HELM"], "template", "patterns", os.environ["PATTERNS_TEST_CHART"]]
    for file in files(variant):
        command += ["--values", str(file)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    objects = [part for part in yaml.safe_load_all(done.stdout) if part]
    [template] = [
        part["data"]["pod_template_file.yaml"] for part in objects if "pod_template_file.yaml" in part.get("data", {})
    ]
    return [*objects, yaml.safe_load(template)]


def pod_specs(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for part in objects:
        spec = part.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        spec = spec.get("template", {}).get("spec", spec)
        if "containers" in spec:
            yield f"{part['kind']} {part['metadata']['name']}", spec


@pytest.mark.skipif(bool(NO_TOOLS), reason=f"The environment does not name {NO_TOOLS}")
@variants
def test_what_the_chart_renders_fits_kubernetes(variant: str) -> None:
    swagger = json.loads(Path(os.environ["PATTERNS_TEST_KUBERNETES_SCHEMA"]).read_text())
    kinds = {
        (kind["group"], kind["version"], kind["kind"]): name
        for name, definition in swagger["definitions"].items()
        for kind in definition.get("x-kubernetes-group-version-kind", [])
    }
    # Strict: a field that Kubernetes does not know is an error. What is an integer or a string has no type there.
    for definition in swagger["definitions"].values():
        if "properties" in definition:
            definition["additionalProperties"] = False
    for name in ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "io.k8s.apimachinery.pkg.api.resource.Quantity"):
        swagger["definitions"][name] = {"type": ["string", "number"]}
    for part in rendered(variant):
        group, _, version = part["apiVersion"].rpartition("/")
        reference = {"$ref": f"#/definitions/{kinds[group, version, part['kind']]}"}
        validator = Draft7Validator({**reference, "definitions": swagger["definitions"]})
        errors = [
            f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
            for error in validator.iter_errors(without_null(part))
        ]
        assert errors == [], f"{part['kind']} {part['metadata']['name']}"


def without_null(part: Any) -> Any:
    """The object as Kubernetes takes it: a field without a value is not there."""
    if isinstance(part, dict):
        return {key: without_null(value) for key, value in part.items() if value is not None}
    return [without_null(value) for value in part] if isinstance(part, list) else part


@pytest.mark.skipif(bool(NO_TOOLS), reason=f"The environment does not name {NO_TOOLS}")
@variants
def test_every_rendered_container_is_hardened_and_uses_our_image(variant: str) -> None:
    objects = rendered(variant)
    # The chart makes a URL of a broker of its own for every executor; nothing mounts it here.
    assert {part["metadata"]["name"] for part in objects if part["kind"] == "Secret"} <= {"patterns-broker-url"}
    pods = dict(pod_specs(objects))
    assert len(pods) >= 7
    for pod, spec in pods.items():
        for container in [*spec["containers"], *(spec.get("initContainers") or [])]:
            where = f"{pod}, {container['name']}"
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True, where
            assert security["allowPrivilegeEscalation"] is False, where
            assert security["capabilities"] == {"drop": ["ALL"]}, where
            assert "tmp" in [mount["name"] for mount in container["volumeMounts"]], where
            if container["name"] not in FOREIGN:
                assert container["image"] == "registry.example.org/code-patterns-airflow:3.3.2-kubernetes", where
