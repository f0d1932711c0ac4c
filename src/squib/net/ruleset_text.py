"""squib's table in nft's own language, for people who want to read it before it is in force. Pure.

It is written from the very commands that are sent (`ruleset.create_table`), and knows only what stands in them: a test holds
that nft makes the same table of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from squib.net.ruleset import Command

__all__ = ["table_text"]

_INDENT = " " * 4
_WORDS = ("accept", "drop", "return", "counter", "masquerade")
"""Expressions that are one word."""


def table_text(commands: Sequence[Command]) -> str:
    """`commands` of one table, as `nft -f` takes it and `nft list table` shows it."""
    added: list[Any] = [command["add"] for command in commands if "add" in command]
    table = _of(added, "table")[0]["table"]
    elements = {one["element"]["name"]: one["element"]["elem"] for one in _of(added, "element")}
    blocks = [
        *(_set(kind, one[kind], elements) for one in added for kind in ("set", "map") if kind in one),
        *(_chain(one["chain"], [rule["rule"] for rule in _of(added, "rule")]) for one in _of(added, "chain")),
    ]
    lines = [f"{_INDENT}{line}" for block in blocks for line in block]
    return "\n".join([f"table {table['family']} {table['name']} {{", *lines, "}"])


def _of(added: Sequence[Any], kind: str) -> list[Any]:
    return [one for one in added if kind in one]


def _set(kind: str, described: Mapping[str, Any], elements: Mapping[str, Any]) -> list[str]:
    types = described["type"] if isinstance(described["type"], list) else [described["type"]]
    to = f" : {described['map']}" if kind == "map" else ""
    lines = [f"type {' . '.join(types)}{to}"]
    if "flags" in described:
        lines.append(f"flags {','.join(described['flags'])}")
    if held := elements.get(described["name"]):
        lines.append(f"elements = {{ {', '.join(map(_value, held))} }}")
    return _block(f"{kind} {described['name']}", lines)


def _chain(described: Mapping[str, Any], rules: Iterable[Mapping[str, Any]]) -> list[str]:
    lines = []
    if "hook" in described:
        place = f"type {described['type']} hook {described['hook']} priority {described['prio']}"
        lines.append(f"{place}; policy {described['policy']};")
    lines += [" ".join(map(_expression, rule["expr"])) for rule in rules if rule["chain"] == described["name"]]
    return _block(f"chain {described['name']}", lines)


def _block(head: str, lines: Iterable[str]) -> list[str]:
    return [f"{head} {{", *(f"{_INDENT}{line}" for line in lines), "}"]


def _expression(expression: Mapping[str, Any]) -> str:
    match expression:
        case {"match": {"op": operator, "left": left, "right": right}}:
            named = left.get("meta", {}).get("key") in {"iifname", "oifname"} and not str(right).startswith("@")
            said = f'"{right}"' if named else _value(right)
            return f"{_value(left)} {'!= ' if operator == '!=' else ''}{said}"
        case {"jump": {"target": chain}}:
            return f"jump {chain}"
        case {"dnat": {"family": family, "addr": address, "port": port}}:
            return f"dnat {family} to {_value(address)} : {_value(port)}"
        case _:
            return next(word for word in _WORDS if word in expression)


def _value(value: Any) -> str:
    match value:
        case {"concat": parts}:
            return " . ".join(map(_value, parts))
        case {"prefix": {"addr": address, "len": length}}:
            return f"{address}/{length}"
        case {"meta": {"key": "iifname" | "oifname" as key}}:
            return str(key)
        case {"meta": {"key": key}}:
            return f"meta {key}"
        case {"payload": {"protocol": protocol, "field": field}}:
            return f"{protocol} {field}"
        case {"ct": {"key": key}}:
            return f"ct {key}"
        case {"fib": {"result": result, "flags": flags}}:
            return f"fib {' . '.join(flags)} {result}"
        case {"map": {"key": key, "data": data}}:
            return f"{_value(key)} map {data}"
        case list():
            return ",".join(map(_value, value))
        case _:
            return str(value)
