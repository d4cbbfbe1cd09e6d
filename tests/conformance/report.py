#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The gate and the report: every row of the catalogue is proved by a test or decided otherwise.

    report.py check RESULTS FILE   fails when a row is neither, or both, or its tests failed, and when the report
                                   that was written says something else of a row
    report.py write RESULTS FILE   writes the report

RESULTS is the folder of what the tests wrote: GoogleTest's JSON, pytest's JUnit XML.
"""

import ast
import dataclasses
import json
import pathlib
import re
import sys
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).resolve().parent
NETNS = HERE.parent / "netns"

MUST = "M"
VERDICTS = ("deviation", "not_applicable")


@dataclasses.dataclass
class Row:
    id: str
    level: str
    on: list[str]
    decisions: list[str]
    title: str
    section: str


@dataclasses.dataclass
class Decision:
    verdict: str
    by: str  # a decision of policy.tsv, or "-"
    why: str


@dataclasses.dataclass
class Proof:
    """What is known of a row's tests."""

    passed: set[str] = dataclasses.field(default_factory=set)
    failed: set[str] = dataclasses.field(default_factory=set)
    absent: set[str] = dataclasses.field(default_factory=set)  # would prove it, but did not run


@dataclasses.dataclass
class Lists:
    rows: dict[str, Row]
    features: dict[str, str]  # those not carried out, and why
    policy: dict[str, str]
    decisions: dict[str, Decision]
    open: dict[str, str]


@dataclasses.dataclass
class Results:
    proofs: dict[str, Proof] = dataclasses.field(default_factory=dict)
    figures: dict[str, str] = dataclasses.field(default_factory=dict)
    tests: int = 0

    def of(self, row: str) -> Proof:
        return self.proofs.setdefault(row, Proof())


class Wrong(Exception):
    """A list that cannot be read."""


def lines_of(path: pathlib.Path, fields: int) -> list[list[str]]:
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        parts = [line] if line.startswith("= ") else line.split("\t")
        if len(parts) != fields and not line.startswith("= "):
            raise Wrong(f"{path.name}:{number}: {len(parts)} fields where {fields} are expected")
        found.append(parts)
    return found


def table(path: pathlib.Path, fields: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, *rest in lines_of(path, fields):
        if key in found:
            raise Wrong(f"{path.name}: {key} stands there twice")
        found[key] = rest
    return found


def read_lists(folder: pathlib.Path = HERE) -> Lists:
    rows: dict[str, Row] = {}
    section = ""
    for parts in lines_of(folder / "catalogue.tsv", 5):
        if len(parts) == 1:
            section = parts[0].removeprefix("= ")
            continue
        identifier, level, on, decisions, title = parts
        if identifier in rows:
            raise Wrong(f"catalogue.tsv: {identifier} stands there twice")
        rows[identifier] = Row(identifier, level, on.split(","), [] if decisions == "-" else decisions.split(","),
                               title, section)
    still_open: dict[str, str] = {}
    for path in sorted((folder / "open").glob("*.tsv")):
        for identifier, (why,) in table(path, 2).items():
            if identifier in still_open:
                raise Wrong(f"{path.name}: {identifier} is open elsewhere too")
            still_open[identifier] = why
    return Lists(rows,
                 {letter: why for letter, (why,) in table(folder / "features.tsv", 2).items()},
                 {number: text for number, (text,) in table(folder / "policy.tsv", 2).items()},
                 {identifier: Decision(*rest) for identifier, rest in table(folder / "decisions.tsv", 4).items()},
                 still_open)


def rows_of_python(folder: pathlib.Path) -> dict[str, list[str]]:
    """Rows that each test file in namespaces says it proves: what is to be expected of its results."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.glob("test_*.py")):
        rows = []
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.row":
                rows += [argument.value for argument in node.args
                         if isinstance(argument, ast.Constant) and isinstance(argument.value, str)]
        if rows:
            found[path.stem.removeprefix("test_")] = rows
    return found


def utf8(text: str) -> str:
    """GoogleTest writes each byte of UTF-8 as a character of its own."""
    return text.encode("latin-1").decode("utf-8")


def read_gtest(path: pathlib.Path, results: Results) -> None:
    for suite in json.loads(path.read_text(encoding="utf-8"))["testsuites"]:
        for test in suite["testsuite"]:
            name = f"{suite['name']}.{test['name']}"
            failed = bool(test.get("failures")) or test.get("status") != "RUN" or test.get("result") == "SKIPPED"
            note(results, name, utf8(test.get("rows", "")).split("|"), failed,
                 {utf8(key).removeprefix("figure: "): utf8(value) for key, value in test.items()
                  if key.startswith("figure: ")})


def read_junit(path: pathlib.Path, results: Results) -> None:
    for test in xml.etree.ElementTree.parse(path).iter("testcase"):
        failed = any(test.find(tag) is not None for tag in ("failure", "error", "skipped"))
        properties = [(entry.get("name", ""), entry.get("value", "")) for entry in test.iter("property")]
        note(results, f"{test.get('classname', '').split('.')[-1]}.{test.get('name')}",
             [value for name, value in properties if name == "row"], failed,
             {name.removeprefix("figure: "): value for name, value in properties if name.startswith("figure: ")})


def note(results: Results, name: str, rows: list[str], failed: bool, figures: dict[str, str]) -> None:
    results.tests += 1
    for row in filter(None, rows):
        proof = results.of(row)
        (proof.failed if failed else proof.passed).add(name)
    for key, value in figures.items():
        results.figures.setdefault(key, value)


def read_results(folder: pathlib.Path, netns: pathlib.Path = NETNS) -> Results:
    results = Results()
    for path in sorted(folder.glob("*.json")):
        read_gtest(path, results)
    for path in sorted(folder.glob("*.xml")):
        read_junit(path, results)
    for stem, rows in rows_of_python(netns).items():
        path = folder / f"netns.{stem}.xml"
        if not path.exists():
            for row in rows:
                results.of(row).absent.add(stem)
            continue
        # A file that pytest could not even read did run, and proves nothing.
        alone = Results()
        read_junit(path, alone)
        for row in set(rows) - set(alone.proofs):
            results.of(row).failed.add(stem)
    return results


def in_scope(row: Row, lists: Lists) -> bool:
    return any(letter not in lists.features for letter in row.on)


def faults(lists: Lists, results: Results, whole: bool = False) -> list[str]:
    """What keeps the gate shut. `whole`: tests that did not run are a fault."""
    found = []
    for name in set(lists.decisions) | set(lists.open) | set(results.proofs):
        if name not in lists.rows:
            found.append(f"{name}: no row of the catalogue")
    for name, decision in lists.decisions.items():
        row = lists.rows.get(name)
        if decision.verdict not in VERDICTS:
            found.append(f"{name}: verdict {decision.verdict}")
        if decision.by != "-" and decision.by not in lists.policy:
            found.append(f"{name}: no decision {decision.by} in policy.tsv")
        if not decision.why:
            found.append(f"{name}: a decision without a reason")
        if row and MUST in row.level.split("/") and decision.verdict == "deviation" and decision.by == "-":
            found.append(f"{name}: a must is deviated from without a decision of policy.tsv")
        if row and not in_scope(row, lists):
            found.append(f"{name}: decided, though its feature is not carried out anyway")
        if name in lists.open:
            found.append(f"{name}: decided and open")
    for name, row in lists.rows.items():
        proof = results.proofs.get(name, Proof())
        for test in sorted(proof.failed):
            found.append(f"{name}: {test} failed")
        if name in lists.decisions and (proof.passed or proof.absent):
            found.append(f"{name}: decided otherwise, and tested by {min(proof.passed | proof.absent)}")
        if name in lists.open and proof.passed and not proof.failed:
            found.append(f"{name}: proved by {min(proof.passed)}; take it off the open ones")
        if whole and proof.absent:
            found.append(f"{name}: {min(proof.absent)} did not run")
        if not in_scope(row, lists) or name in lists.decisions or name in lists.open:
            continue
        if not proof.passed and not proof.failed and not proof.absent:
            found.append(f"{name} ({row.level}): neither proved nor decided")
    return sorted(found)


def escape(text: str) -> str:
    return text.replace("|", "\\|")


def verdict_of(row: Row, lists: Lists, results: Results) -> tuple[str, str]:
    """The verdict, and what it rests on."""
    proof = results.proofs.get(row.id, Proof())
    if row.id in lists.decisions:
        decision = lists.decisions[row.id]
        by = "" if decision.by == "-" else f"{decision.by}: "
        return ("deviation" if decision.verdict == "deviation" else "not applicable"), by + decision.why
    if proof.failed:
        return "FAILED", ", ".join(sorted(proof.failed))
    if row.id in lists.open:
        return "open", lists.open[row.id]
    if proof.passed or proof.absent:
        return "passed", ", ".join(sorted(proof.passed | proof.absent))
    if not in_scope(row, lists):
        return "not applicable", lists.features[row.on[0]]
    return "MISSING", ""


def statement(lists: Lists, results: Results) -> list[str]:
    count: dict[str, int] = {}
    open_musts = []
    for row in lists.rows.values():
        verdict = verdict_of(row, lists, results)[0]
        count[verdict] = count.get(verdict, 0) + 1
        if verdict not in ("passed", "deviation", "not applicable") and MUST in row.level:
            open_musts.append(row.id)
    text = [
        "Sallyport translates IPv4 (SNAT44) for TCP, UDP and ICMP. This page says, requirement by requirement of",
        f"the RFCs about it, what holds and which test proves it: {len(lists.rows)} rows, of which",
        f"{count.get('passed', 0)} are proved by tests, {count.get('deviation', 0)} are deviations that were decided,",
        f"and {count.get('not applicable', 0)} do not apply.",
    ]
    if count.get("open"):
        text.append(f"{count['open']} are not proved yet and are marked **open**.")
    if open_musts:
        text.append(f"Musts among them: {', '.join(open_musts)}.")
    text += ["", "It is no carrier-grade NAT in the sense of RFC 6888: there is no protocol by which subscribers ask",
             "for mappings (C10). Everything else that RFC 6888 asks for is met as the table says."]
    return text


def report(lists: Lists, results: Results) -> str:
    out = ["# Conformance", "",
           "<!-- Written by `./dev test --conformance`; change tests/conformance/ instead. -->", "",
           *statement(lists, results), "",
           "Levels: M must, S should, O may, - no key word. A row that several tests prove holds only if all of them",
           "pass; each runs on the express lane, on the stages that every packet can take, with VLAN tags and with IP",
           "options. Every packet of every test is also judged by the invariants below.", "",
           "## Decisions", "",
           "Where the RFCs leave a choice, or an outbound-only gateway is better served by another one.", "",
           "| | |", "|---|---|"]
    out += [f"| {number} | {escape(text)} |" for number, text in lists.policy.items()]
    section = None
    for row in lists.rows.values():
        if row.section != section:
            section = row.section
            out += ["", f"## {section}", "", "| row | level | requirement | verdict | by |", "|---|---|---|---|---|"]
        verdict, by = verdict_of(row, lists, results)
        if verdict not in ("passed", "not applicable"):
            verdict = f"**{verdict}**"
        out.append(f"| {row.id} | {row.level} | {escape(row.title)} | {verdict} | {escape(by)} |")
    out += ["", "## Invariants", "", "Judged for every packet of every test (tests/support/invariants.h).", "",
            "| | |", "|---|---|"]
    out += [f"| {number} | {escape(text)} |" for number, (text,) in table(HERE / "invariants.tsv", 2).items()]
    if results.figures:
        out += ["", "## Figures", "", "Measured by the tests of the last run.", "", "| what | value |", "|---|---|"]
        out += [f"| {escape(name)} | {escape(value)} |" for name, value in sorted(results.figures.items())]
    return "\n".join(out) + "\n"


def differences(text: str, lists: Lists, results: Results) -> list[str]:
    """Rows of which a report that was written says something else than is known now."""
    written = {}
    for line in text.splitlines():
        cells = re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |"))
        if len(cells) == 5:
            written[cells[0]] = cells[3].strip("*")
    return [f"{row.id}: {verdict}, and the report says {written.get(row.id, 'nothing')}"
            for row in lists.rows.values()
            if (verdict := verdict_of(row, lists, results)[0]) != written.get(row.id)]


def main(arguments: list[str]) -> int:
    if len(arguments) not in (2, 3) or arguments[0] not in ("check", "write"):
        print(__doc__, file=sys.stderr)
        return 2
    writes = arguments[0] == "write"
    lists, results = read_lists(), read_results(pathlib.Path(arguments[1]))
    if writes:
        pathlib.Path(arguments[2]).write_text(report(lists, results), encoding="utf-8")
    found = faults(lists, results, whole=writes)
    if not writes and len(arguments) == 3:
        found += differences(pathlib.Path(arguments[2]).read_text(encoding="utf-8"), lists, results)
    for fault in found:
        print(fault)
    proved = sum(verdict_of(row, lists, results)[0] == "passed" for row in lists.rows.values())
    print(f"{len(lists.rows)} rows, {proved} proved, {len(lists.decisions)} decided, {len(lists.open)} open, "
          f"{len(found)} faults")
    return 1 if found or results.tests == 0 else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Wrong as wrong:
        print(wrong, file=sys.stderr)
        sys.exit(2)
