"""What `squib deploy kubernetes` writes: golden, right by Kubernetes's own schemas, and within the restricted standard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from squib.app.deploying import Wishes, plan_workload
from squib.errors import UsageError
from squib.model.appliance import Appliance, HealthSettings, Key, KeyType, MachineSettings
from squib.wire.kubernetes import encode
from support import golden

IMAGE = "ghcr.example/example/clock:v1@sha256:" + "a" * 64
KEYS = (
    Key("port", KeyType.PORT, 80, ""),
    Key("greeting", KeyType.STRING, "hello", ""),
    Key("max-items", KeyType.INT, 1, ""),
)
SHOP = Appliance("shop", "shop:answer", Path("/"), keys=KEYS)
VERSIONS = ("1.25", "1.29", "1.33", "1.37")


def documents(appliance: Appliance = SHOP, **wishes: Any) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(encode(plan_workload(appliance, Wishes(**({"image": IMAGE} | wishes))))))


def pod(appliance: Appliance = SHOP, **wishes: Any) -> dict[str, Any]:
    spec: dict[str, Any] = documents(appliance, **wishes)[0]["spec"]["template"]["spec"]
    return spec


FULL: dict[str, Any] = {
    "values": (("greeting", "yes: it's \"good\" #1"), ("max-items", "7"), ("logs", "debug")),
    "replicas": 3, "name": "front", "namespace": "prod", "runtime_class": "kata-fc",
}  # fmt: skip


def test_as_ever(update_golden: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("squib.wire.kubernetes.__version__", "1.2.3")
    golden("kubernetes.yaml", encode(plan_workload(SHOP, Wishes(IMAGE))).decode(), update=update_golden)
    golden("kubernetes-full.yaml", encode(plan_workload(SHOP, Wishes(IMAGE, **FULL))).decode(), update=update_golden)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("wishes", [{}, FULL])
def test_kubernetes_s_schemas_take_it(version: str, wishes: dict[str, Any]) -> None:
    found = documents(**wishes)
    assert [document["kind"] for document in found] == ["Deployment", "Service", "PodDisruptionBudget"][: 3 if wishes else 2]
    for document in found:
        kubernetes_validate.validate(document, version, strict=True)


def test_a_misspelt_field_would_be_found() -> None:
    document = documents()[0]
    document["spec"]["template"]["spec"]["runtimeClass"] = "kata-fc"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)


def test_it_keeps_to_the_restricted_standard() -> None:
    """kubernetes.io/docs/concepts/security/pod-security-standards, each control of "restricted" that applies."""
    spec = pod(**FULL)
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert [set(volume) - {"name"} for volume in spec["volumes"]] == [{"emptyDir"}]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] != 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    context = container["securityContext"]
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert not {"privileged", "procMount", "seLinuxOptions"} & set(context)
    assert not [port for port in container["ports"] if "hostPort" in port]
    assert {"cpu", "memory"} == set(container["resources"]["limits"])


def test_keys_are_variables_and_the_port_an_option() -> None:
    (container,) = pod(values=(("port", "9000"), ("greeting", "no"), ("logs", "debug")))["containers"]
    assert container["args"] == ["--port", "9000", "--logs=debug"]
    assert container["env"] == [{"name": "SQUIB_GREETING", "value": "no"}]  # a word, though YAML 1.1 has it for false
    assert container["ports"][0]["containerPort"] == 9000


def test_what_the_appliance_file_says_of_machine_and_health() -> None:
    health = HealthSettings("/healthz", interval_ms=30_000, timeout_ms=1_500, failures=5, start_period_ms=90_000)
    (container,) = pod(replace(SHOP, health=health, machine=MachineSettings(24, 2)))["containers"]
    assert container["livenessProbe"] == {
        "httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 30, "timeoutSeconds": 2, "failureThreshold": 5,
    }  # fmt: skip
    assert container["startupProbe"]["failureThreshold"] == 90
    assert container["resources"] == {"requests": {"cpu": "50m", "memory": "24Mi"}, "limits": {"cpu": "2", "memory": "24Mi"}}


@pytest.mark.parametrize(
    ("image", "written"),
    [
        ("webserver", "docker.io/library/webserver:latest"),
        ("a.example/b", "a.example/b:latest"),
        ("a.example/b@sha256:" + "0" * 64, "a.example/b@sha256:" + "0" * 64),
        ("a.example:5000/b:latest@sha256:" + "0" * 64, "a.example:5000/b:latest@sha256:" + "0" * 64),
    ],
)
def test_the_image_is_named_in_full(image: str, written: str) -> None:
    assert pod(image=image)["containers"][0]["image"] == written


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"image": "A"}, "cannot name an image"),
        ({"image": "a@sha256:12"}, "is no digest"),
        ({"name": "a-"}, "cannot name a workload"),
        ({"name": "a" * 64}, "cannot name a workload"),
        ({"namespace": "Prod"}, "cannot name a namespace"),
        ({"runtime_class": "kata_fc"}, "cannot name a runtime class"),
        ({"values": (("greting", "x"),)}, "did you mean --greeting?"),
        ({"values": (("max-items", "many"),)}, "expected a whole number"),
        ({"values": (("greeting", "1"), ("greeting", "2"))}, "stands twice"),
    ],
)
def test_mistakes(wishes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        plan_workload(SHOP, Wishes(**({"image": IMAGE} | wishes)))
    assert said in f"{caught.value} {caught.value.hint}"


def expanded(text: str, known: dict[str, str]) -> str:
    """What the kubelet makes of a value or an argument: k8s.io/kubernetes/third_party/forked/golang/expansion, Expand."""
    made, at = "", 0
    while at < len(text):
        if text[at] != "$" or at + 1 == len(text):
            made, at = made + text[at], at + 1
        elif text[at + 1] == "$":
            made, at = made + "$", at + 2
        elif text[at + 1] == "(" and (end := text.find(")", at)) > 0:
            name = text[at + 2 : end]
            made, at = made + known.get(name, f"$({name})"), end + 1
        else:
            made, at = made + text[at], at + 1
    return made


def received(container: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Arguments and environment of the server, in a cluster that sets what a node and its services do."""
    known = {"NAME": "pod", "KUBERNETES_SERVICE_HOST": "10.0.0.1", "": "nothing"}
    for one in container["env"]:
        known[one["name"]] = expanded(one["value"], known)
    return [expanded(one, known) for one in container["args"]], known


@pytest.mark.parametrize(
    ("text", "made"), [("$$(A)", "$(A)"), ("$(A)", "x"), ("$(B) $ $", "$(B) $ $"), ("$(A", "$(A"), ("$A", "$A")]
)
def test_the_model_of_the_kubelet(text: str, made: str) -> None:
    assert expanded(text, {"A": "x"}) == made


def test_dollars_reach_the_server() -> None:
    said = "pa$$word $(NAME) $(SQUIB_MAX_ITEMS) $"
    (container,) = pod(values=(("greeting", said), ("max-items", "7"), ("logs", "$(NAME):debug")))["containers"]
    arguments, environment = received(container)
    assert environment["SQUIB_GREETING"] == said
    assert arguments[-1] == "--logs=$(NAME):debug"


@given(
    st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=30).filter(str.isprintable)
    | st.lists(st.sampled_from(["$", "$$", "(", ")", "NAME", "$(NAME)", "a", " "]), max_size=9).map("".join)
)
def test_any_value_reaches_the_server_as_it_was(text: str) -> None:
    (container,) = pod(values=(("greeting", text),))["containers"]
    assert received(container)[1]["SQUIB_GREETING"] == text
