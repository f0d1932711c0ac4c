"""squib's verbs as a table: where each is, what it does, and how the help groups them; and other programs' words for them."""

from __future__ import annotations

__all__ = ["ABSENT", "SECTIONS", "SYNONYMS", "VERBS"]

SECTIONS: tuple[tuple[str, dict[str, tuple[str, str]]], ...] = (
    ("Make an appliance", {
        "init": ("squib.cli.init:init", "Write an appliance to start from."),
        "build": ("squib.cli.build:build", "Make an appliance's root file-system, kernel and manifest."),
        "image": ("squib.cli.image:image", "Make a container image of it, in one file."),
        "measure": ("squib.cli.measure:measure", "Find the least memory that it works in."),
        "boot-report": ("squib.cli.boot_report:boot_report", "Boot it, and show where the time goes."),
    }),
    ("Run it", {
        "demo": ("squib.cli.demo:demo", "Boot the clock that comes with squib, and ask it four times."),
        "run": ("squib.cli.run:run", "Boot an appliance in a microVM."),
        "serve": ("squib.cli.serve_help:serve", "Serve an appliance as a plain process."),
        "ps": ("squib.cli.ps:ps", "List your microVMs."),
        "logs": ("squib.cli.logs:logs", "Print what a microVM's console has said."),
        "inspect": ("squib.cli.inspect:inspect", "Show all that is known of microVMs."),
        "stop": ("squib.cli.stop:stop", "Stop microVMs gracefully."),
        "restart": ("squib.cli.restart:restart", "Stop microVMs and start them again as they were."),
        "wait": ("squib.cli.wait:wait", "Wait until microVMs have ended, and tell how."),
        "rm": ("squib.cli.rm:rm", "Remove microVMs that have ended, with their logs."),
        "probe": ("squib.cli.probe:probe", "Ask a URL for the time, and check the answers."),
    }),
    ("Ship it", {
        "push": ("squib.cli.push:push", "Send a container image to a registry."),
        "deploy": ("squib.cli.deploy:deploy", "Write what a cluster needs to run an appliance."),
    }),
    ("This machine", {
        "doctor": ("squib.cli.doctor:doctor", "See what this machine has, and what it needs."),
        "host": ("squib.cli.host:host", "Set up this host for guests' networks, or put it back."),
        "fetch": ("squib.cli.fetch:fetch", "Get Firecracker, into squib's cache."),
        "kernel": ("squib.cli.kernel:kernel", "Build, list, show and remove the tuned kernel."),
        "prune": ("squib.cli.prune:prune", "Remove from squib's cache what no microVM needs."),
    }),
    ("More", {
        "vm": ("squib.cli.vm:vm", "Start any kernel and disk in Firecracker, as firectl does."),
        "schema": ("squib.cli.schema:schema", "Print the JSON Schema of the appliance file."),
        "completion": ("squib.cli.completion:completion", "Print the completion script for bash, zsh or fish."),
    }),
)  # fmt: skip
"""(heading, verbs) as the help shows them: each verb with where its click command is, and what it does in a sentence."""

VERBS: dict[str, tuple[str, str]] = {verb: entry for _, verbs in SECTIONS for verb, entry in verbs.items()}

SYNONYMS: dict[str, tuple[str, ...]] = {
    "ls": ("ps",),
    "list": ("ps",),
    "remove": ("rm",),
    "delete": ("rm",),
    "destroy": ("rm",),
    "kill": ("stop", "--timeout", "0"),
    "new": ("init",),
    "clean": ("prune",),
    "gc": ("prune",),
    "version": ("--version",),
}
"""What other programs call what squib does too, and the words that stand for it here."""

_NO_SHELL = ("an appliance has no shell, by design", "squib logs NAME prints its console, squib inspect NAME the rest")
_NO_LOGIN = ("squib push uses the credentials of Docker or Podman", "docker login REGISTRY, or podman login REGISTRY")
_START = (
    "squib run starts a new microVM, squib restart one that has ended",
    "squib run --detach APPLIANCE, or squib restart NAME",
)
_NO_PULL = ("squib runs no images from a registry, it builds what it runs", "squib run APPLIANCE")

ABSENT: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("shell", "exec", "ssh", "attach", "enter", "console"), _NO_SHELL),
    **dict.fromkeys(("login", "logout"), _NO_LOGIN),
    **dict.fromkeys(("start", "up", "create"), _START),
    "down": ("squib stop ends microVMs by their names", "squib stop NAME"),
    **dict.fromkeys(("pull", "load", "import"), _NO_PULL),
    **dict.fromkeys(("top", "stats"), ("squib inspect tells what a microVM uses", "squib inspect NAME")),
}
"""What other programs have and squib has not: why, and what to type instead."""
