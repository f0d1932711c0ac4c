"""`squib deploy`: what a cluster needs to run an appliance, as text for its own tools."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from squib.app.deploying import Wishes, plan_workload
from squib.cli.commands import Group
from squib.cli.completing import complete_appliance
from squib.cli.param_types import Whole
from squib.errors import UsageError
from squib.host.appliances import find_appliance
from squib.host.files import working_folder, write_atomic
from squib.wire import kubernetes as wire

__all__ = ["deploy"]


@click.group(cls=Group, synonyms={"k8s": ("kubernetes",)})
def deploy() -> None:
    """Write what a cluster needs to run an appliance as a container."""


@deploy.command()
@click.argument("appliance", required=False, shell_complete=complete_appliance)
@click.option(
    "--image", "image", required=True, metavar="REF[@DIGEST]", help="The image in its registry, as squib push prints it."
)
@click.option("--set", "values", multiple=True, metavar="KEY=VALUE", help="A key of the appliance. Repeatable.")
@click.option("--replicas", type=Whole(0, 1000), default=1, show_default=True, metavar="N", help="How many run.")
@click.option("--name", default="", metavar="NAME", help="Its name in the cluster. Default: the appliance's.")
@click.option("-n", "--namespace", default="", metavar="NAME", help="Its namespace. Default: the one that kubectl is in.")
@click.option(
    "--runtime-class", default="", metavar="NAME", help="The runtime class, as kata-fc: each pod in a Firecracker of its own."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Where it goes. Default: standard output."
)
def kubernetes(
    appliance: str | None,
    image: str,
    values: tuple[str, ...],
    replicas: int,
    name: str,
    namespace: str,
    runtime_class: str,
    output: Path | None,
) -> None:
    """Write a Deployment and a Service as YAML, for kubectl apply -f.

    Pods keep to the restricted Pod Security Standard. Memory and processors are limited to what [machine] in the appliance file
    gives a microVM; probes are those of [health], else of /.
    """
    chosen = find_appliance(appliance, working_folder())
    pairs = tuple(_pair(value) for value in values)
    wishes = Wishes(image, pairs, replicas=replicas, name=name, namespace=namespace, runtime_class=runtime_class)
    data = wire.encode(plan_workload(chosen, wishes))
    if output is None:
        sys.stdout.write(data.decode())
    else:
        write_atomic(output, data)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text}: a key and its value have = between them", hint=f"--set {text}=VALUE")
    return name, value
