"""A workload as Kubernetes's objects: a Deployment, a Service, and where there are several replicas a PodDisruptionBudget.

They keep to the "restricted" Pod Security Standard. Written as YAML, because people read and patch it; the same bytes again.
"""

from __future__ import annotations

from typing import Any

from squib import __version__
from squib.model.workload import Check, Workload

__all__ = ["encode", "objects"]

_PORT = "http"
_GRACE_S = 15
"""The server has 10 s for what is in flight."""

_MEM_REQUEST_MIB = 32
_TMP = "tmp"


def encode(workload: Workload) -> bytes:
    """The YAML documents."""
    import yaml

    head = f"# {workload.name}, made by squib {__version__}: squib deploy kubernetes\n"
    text: str = yaml.safe_dump_all(objects(workload), sort_keys=False, explicit_start=True, allow_unicode=True, width=120)
    return (head + text).encode()


def objects(workload: Workload) -> list[dict[str, Any]]:
    """The objects as Kubernetes's API names their fields."""
    found = [_deployment(workload), _service(workload)]
    if workload.replicas > 1:
        found.append(_disruption_budget(workload))
    return found


def _deployment(w: Workload) -> dict[str, Any]:
    spec = {
        "replicas": w.replicas,
        "selector": {"matchLabels": _selector(w)},
        "template": {"metadata": {"labels": _labels(w)}, "spec": _pod(w)},
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": _metadata(w), "spec": spec}


def _pod(w: Workload) -> dict[str, Any]:
    return {
        **({"runtimeClassName": w.runtime_class} if w.runtime_class else {}),
        "automountServiceAccountToken": False,
        # A Service named squib would set SQUIB_PORT, which is a key's variable.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _GRACE_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": w.user,
            "runAsGroup": w.user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(w)],
        "volumes": [{"name": _TMP, "emptyDir": {"sizeLimit": "64Mi"}}],
    }


def _container(w: Workload) -> dict[str, Any]:
    memory = f"{w.mem_size_mib}Mi"
    request = f"{min(_MEM_REQUEST_MIB, w.mem_size_mib)}Mi"
    return {
        "name": w.name,
        "image": w.image,
        "args": [_unexpanded(one) for one in w.args],
        **({"env": [{"name": name, "value": _unexpanded(value)} for name, value in w.env]} if w.env else {}),
        "ports": [{"name": _PORT, "containerPort": w.port, "protocol": "TCP"}],
        "startupProbe": _probe(w.check, period_s=1, failures=w.check.start_s),
        "readinessProbe": _probe(w.check, period_s=w.check.interval_s, failures=1),
        "livenessProbe": _probe(w.check, period_s=w.check.interval_s, failures=w.check.failures),
        "resources": {
            "requests": {"cpu": "50m", "memory": request},
            "limits": {"cpu": str(w.cpu_count), "memory": memory},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": _TMP, "mountPath": "/tmp"}],  # noqa: S108 - in the container
    }


def _unexpanded(text: str) -> str:
    """What the kubelet makes `text` of: it takes $(NAME) for a variable, and $$ for a dollar (k8s.io, "Container", args)."""
    return text.replace("$", "$$")


def _probe(check: Check, *, period_s: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": check.path, "port": _PORT},
        "periodSeconds": period_s,
        "timeoutSeconds": check.timeout_s,
        "failureThreshold": failures,
    }


def _service(w: Workload) -> dict[str, Any]:
    ports = [{"name": _PORT, "port": w.service_port, "targetPort": _PORT, "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(w),
        "spec": {"type": "ClusterIP", "selector": _selector(w), "ports": ports},
    }


def _disruption_budget(w: Workload) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(w),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": _selector(w)}},
    }


def _metadata(w: Workload) -> dict[str, Any]:
    return {"name": w.name, **({"namespace": w.namespace} if w.namespace else {}), "labels": _labels(w)}


def _selector(w: Workload) -> dict[str, str]:
    return {"app.kubernetes.io/name": w.name}


def _labels(w: Workload) -> dict[str, str]:
    return _selector(w) | {"app.kubernetes.io/managed-by": "squib"}
