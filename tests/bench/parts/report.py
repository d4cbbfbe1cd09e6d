# SPDX-License-Identifier: Apache-2.0
"""The report: ratios against the targets first, then the figures that they come from."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from .tree import REPORTS


class Row(NamedTuple):
    """One target. `measured` is None where it was not measured."""

    what: str
    measured: float | None
    relation: str  # "<=" or ">="
    target: float
    unit: str = "×"

    @property
    def met(self) -> bool | None:
        if self.measured is None:
            return None
        return self.measured <= self.target if self.relation == "<=" else self.measured >= self.target


def size_name(flows: int) -> str:
    return f"{flows // 1_000_000} M" if flows >= 1_000_000 else f"{flows // 1000} k"


def _at(results: list[dict[str, Any]] | None, flows: int, *path: str) -> float | None:
    for result in results or []:
        if result["flows"] == flows:
            value: Any = result
            for name in path:
                value = value.get(name) if value else None
            return value
    return None


def rows(results: dict[str, Any]) -> Iterator[Row]:
    """The targets, in the order of the design."""
    program, path, upkeep = results.get("program"), results.get("path"), results.get("upkeep") or {}
    for flows, target in ((1_000, 0.70), (1_000_000, 0.35), (10_000_000, 0.30)):
        yield Row(f"program cost, both directions, against the hash map, {size_name(flows)} flows",
                  _at(program, flows, "ratio"), "<=", target)
    small, large = (_at(program, flows, "array", "both_ns") for flows in (1_000, 1_000_000))
    yield Row("growth of program cost from 1 k to 1 M flows", large / small if small and large else None, "<=", 6)
    for flows, target in ((1_000, 1.25), (1_000_000, 3.5)):
        yield Row(f"path, private to public, against a stateless redirect, {size_name(flows)} flows",
                  _at(path, flows, "sallyport_to_redirect", "out"), "<=", target)
    for flows, target in ((1_000, 5.0), (1_000_000, 4.5)):
        yield Row(f"path, one direction: nftables against ours, {size_name(flows)} flows",
                  _at(path, flows, "nftables_to_sallyport", "out"), ">=", target)
    for flows, target in ((1_000, 6.0), (1_000_000, 4.5)):
        yield Row(f"path, both directions: nftables against ours, {size_name(flows)} flows",
                  _at(path, flows, "nftables_to_sallyport", "both"), ">=", target)
    yield Row("every packet a new flow: nftables against ours, 1 M flows",
              _at(path, 1_000_000, "nftables_to_sallyport", "new_flow"), ">=", 5)
    yield Row("1514-byte packets against 60-byte ones, 1 k flows",
              _at(path, 1_000, "large_to_small", "sallyport", "out"), "<=", 1.1)
    counted = results.get("instructions") or {}
    for direction in ("out", "in"):
        yield Row(f"instructions per established packet, {direction}", counted.get(direction), "<=", 250, "")
    ours = upkeep.get("sallyport") or {}
    yield Row("kernel memory per tracked flow, half of the table's places taken",
              (ours.get("memory") or {}).get("bytes_per_flow_half_full"), "<=", 256, "bytes")
    sweep = ours.get("sweep") or {}
    swept = sweep.get("flows") == 1_000_000
    yield Row("sweep of 1 M flows, none of them expired", sweep.get("nothing_expired_ms") if swept else None, "<=", 100,
              "ms")
    yield Row("sweep of 1 M flows that removes them all", sweep.get("all_expired_ms") if swept else None, "<=", 100,
              "ms")


def _table(head: list[str], body: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cells) + " |" for cells in body]
    return "\n".join(lines)


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _targets(results: dict[str, Any]) -> str:
    verdict = {None: "not measured", True: "met", False: "**not met**"}
    sign = {"<=": "≤", ">=": "≥"}
    return _table(["what", "measured", "target", ""],
                  [[row.what, f"{_number(row.measured)} {row.unit if row.measured is not None else ''}".strip(),
                    f"{sign[row.relation]} {row.target:g} {row.unit}".strip(), verdict[row.met]]
                   for row in rows(results)])


def _program(results: list[dict[str, Any]]) -> str:
    names = ["out_ns", "in_ns", "new_flow_ns", "bytes_per_flow_of_capacity"]
    return _table(["flows", "table", "out ns", "in ns", "new flow ns", "bytes per flow of capacity", "ratio"],
                  [[size_name(result["flows"]), table, *(_number(result[table][name], 1) for name in names),
                    _number(result["ratio"]) if table == "array" else ""]
                   for result in results for table in ("array", "hash") if table in result])


_PATH = ["out", "in", "both", "out_1514", "in_1514", "new_flow"]


def _path(results: list[dict[str, Any]]) -> str:
    body = []
    for result in results:
        size = size_name(result["flows"])
        # A thousand flows are opened too quickly for what one costs to be seen.
        names = [name if name != "new_flow" or result["flows"] >= 100_000 else "" for name in _PATH]
        for gateway in ("redirect", "sallyport", "nftables"):
            figures = result["nanoseconds"][gateway]
            body.append([size, gateway, *(_number(figures.get(name), 0) for name in names)])
        body.append([size, "sallyport / redirect",
                     *(_number(result["sallyport_to_redirect"].get(name)) for name in names)])
        body.append([size, "nftables / sallyport",
                     *(_number(result["nftables_to_sallyport"].get(name)) for name in names)])
    return _table(["flows", "gateway", "out", "in", "both", "out, 1514 bytes", "in, 1514 bytes", "new flow"], body)


def _text(results: dict[str, Any]) -> str:
    parts = ["# Benchmark of Sallyport"]
    if results.get("quick"):
        parts.append("**A quick run: too short to quote figures from.**")
    machine = results.get("machine")
    if machine:
        parts.append(f"Commit {machine['commit']}, kernel {machine['kernel']}, {machine['cpu']}"
                     f"{' in a virtual machine' if machine['hypervisor'] else ''}, {machine['processors']} processors, "
                     f"{machine['memory_gib']} GiB, BPF JIT {machine['bpf_jit']}. Load {machine['load_at_start']:.1f} "
                     f"at the start, {machine.get('load_at_end', 0):.1f} at the end"
                     f"{': **others were at work**' if machine['load_at_start'] > 2 else ''}. "
                     f"It took {results.get('seconds', 0):.0f} s.")
    parts += ["## Targets", _targets(results)]
    conntrack = results.get("conntrack")
    if conntrack and conntrack["reason"]:
        parts.append(f"Connection tracking of the kernel: {conntrack['reason']}; {conntrack['flows']:,} flows fit.")
    if results.get("program"):
        parts += ["## Program cost", "Nanoseconds of processor time per packet in `BPF_PROG_RUN`, without the driver: "
                  "established TCP flows in random order. Medians of interleaved rounds.", _program(results["program"])]
    if results.get("path"):
        parts += ["## Cost of the path",
                  "Nanoseconds of processor time per 60-byte packet, private network → gateway → public network over "
                  "veth, native XDP, generator, gateway and sink in lock step on one processor. A flow capacity of "
                  "1,048,576, one Elastic IP. nftables: one masquerade rule, no other; checksums are not checked by "
                  f"conntrack; {(conntrack or {}).get('buckets', 0):,} buckets. Medians of interleaved rounds with a "
                  "new network each; ratios are medians of each round's. At 100 k flows the size of a cache decides: "
                  "not for comparison.", _path(results["path"])]
    if results.get("upkeep"):
        ours, theirs = results["upkeep"]["sallyport"], results["upkeep"]["nftables"]
        memory, sweep = ours["memory"], ours["sweep"]
        parts += ["## Memory and sweeps", _table(["what", "figure"], [
            ["bytes per flow, Sallyport, at capacity", _number(memory["bytes_per_flow_at_capacity"], 0)],
            ["bytes per flow, Sallyport, at half the capacity", _number(memory["bytes_per_flow_at_half_capacity"], 0)],
            ["bytes per flow, Sallyport, half of the table's places taken",
             _number(memory["bytes_per_flow_half_full"], 0)],
            ["all maps of Sallyport, MiB", _number(memory["all_maps_bytes"] / 2 ** 20, 0)],
            ["bytes per flow, nftables, without the hash table", _number(theirs["bytes_per_flow"], 0)],
            ["bytes per flow, nftables, with it", _number(theirs["bytes_per_flow_with_buckets"], 0)],
            [f"sweep of {sweep['flows']:,} flows, none expired, ms", _number(sweep["nothing_expired_ms"], 1)],
            [f"sweep of {sweep['flows']:,} flows, all expired, ms", _number(sweep["all_expired_ms"], 1)]])]
    if results.get("instructions"):
        counted = results["instructions"]
        parts += ["## Instructions per packet",
                  f"On Debian's kernel {counted['kernel']} under emulation, {counted['flows']:,} flows, beyond an empty "
                  f"program, {counted['date']}: out {counted['out']:.0f}, in {counted['in']:.0f}, new flow "
                  f"{counted['new_flow']:.0f} (the driver included: {counted['empty_program']:.0f})."]
    return "\n\n".join(parts) + "\n"


def last() -> dict[str, Any]:
    """The results of the last report; empty if there is none."""
    path = REPORTS / "report.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write(results: dict[str, Any]) -> str:
    """Writes both files and gives the text."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    results["targets"] = [row._asdict() | {"met": row.met} for row in rows(results)]
    text = _text(results)
    (REPORTS / "report.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    (REPORTS / "report.md").write_text(text, encoding="utf-8")
    return text
