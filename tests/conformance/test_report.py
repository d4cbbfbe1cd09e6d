# SPDX-License-Identifier: Apache-2.0
"""The gate has to shut: each way in which a row can be neither proved nor decided is tried."""

import json
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import report  # noqa: E402
from report import Decision, Lists, Proof, Results, Row  # noqa: E402


def lists(**changes: object) -> Lists:
    given = {
        "rows": {"a": Row("a", "M", ["S"], [], "first", "One"), "b": Row("b", "S", ["6"], [], "second", "One")},
        "features": {"6": "NAT64 comes later"}, "policy": {"C1": "text"}, "decisions": {}, "open": {}}
    return Lists(**(given | changes))  # type: ignore[arg-type]


def results(**proofs: Proof) -> Results:
    return Results(dict(proofs), {}, len(proofs))


PASSED, FAILED, ABSENT = Proof(passed={"T.t"}), Proof(failed={"T.t"}), Proof(absent={"t"})


def test_a_proved_row_opens_the_gate() -> None:
    assert report.faults(lists(), results(a=PASSED)) == []


def test_a_row_that_nothing_is_known_of_shuts_it() -> None:
    assert report.faults(lists(), results()) == ["a (M): neither proved nor decided"]


def test_a_failed_test_shuts_it_though_another_passed() -> None:
    assert report.faults(lists(), results(a=Proof(passed={"T.u"}, failed={"T.t"}))) == ["a: T.t failed"]


def test_a_failed_test_of_an_open_row_shuts_it() -> None:
    assert report.faults(lists(open={"a": "later"}), results(a=FAILED)) == ["a: T.t failed"]


def test_an_open_row_that_is_proved_shuts_it() -> None:
    assert report.faults(lists(open={"a": "later"}), results()) == []
    assert "take it off" in report.faults(lists(open={"a": "later"}), results(a=PASSED))[0]


def test_a_row_that_is_decided_and_tested_shuts_it() -> None:
    decided = {"a": Decision("deviation", "C1", "so")}
    assert report.faults(lists(decisions=decided), results()) == []
    assert "decided otherwise" in report.faults(lists(decisions=decided), results(a=PASSED))[0]


def test_a_must_needs_a_decision_of_the_policy() -> None:
    assert "a must is deviated from" in report.faults(lists(decisions={"a": Decision("deviation", "-", "so")}),
                                                      results())[0]
    assert report.faults(lists(decisions={"a": Decision("not_applicable", "-", "so")}), results()) == []


@pytest.mark.parametrize("decision", [Decision("perhaps", "-", "so"), Decision("deviation", "C9", "so"),
                                      Decision("not_applicable", "-", "")])
def test_a_decision_that_makes_no_sense_shuts_it(decision: Decision) -> None:
    assert report.faults(lists(decisions={"a": decision}), results()) != []


def test_unknown_rows_shut_it() -> None:
    assert "c: no row of the catalogue" in report.faults(lists(), results(a=PASSED, c=PASSED))
    assert "c: no row of the catalogue" in report.faults(lists(open={"c": "x"}), results(a=PASSED))
    assert "c: no row of the catalogue" in report.faults(
        lists(decisions={"c": Decision("not_applicable", "-", "so")}), results(a=PASSED))


def test_tests_that_did_not_run_shut_it_only_when_all_should_have() -> None:
    assert report.faults(lists(), results(a=ABSENT)) == []
    assert report.faults(lists(), results(a=ABSENT), whole=True) == ["a: t did not run"]


def test_results_of_googletest_are_read(tmp_path: pathlib.Path) -> None:
    suite = {"name": "Suite", "testsuite": [
        {"name": "fine", "status": "RUN", "result": "COMPLETED", "rows": "a|b|\u00c2\u00a7",
         "figure: speed": "7"},
        {"name": "bad", "status": "RUN", "result": "COMPLETED", "rows": "b", "failures": [{"failure": "x"}]},
        {"name": "left_out", "status": "NOTRUN", "result": "SUPPRESSED", "rows": "c"},
        {"name": "skipped", "status": "RUN", "result": "SKIPPED", "rows": "d"}]}
    (tmp_path / "one.json").write_text(json.dumps({"testsuites": [suite]}))
    read = report.read_results(tmp_path, tmp_path)
    assert read.proofs["a"] == Proof(passed={"Suite.fine"})
    assert read.proofs["b"] == Proof(passed={"Suite.fine"}, failed={"Suite.bad"})
    assert read.proofs["c"].failed and read.proofs["d"].failed
    assert read.proofs["\u00a7"].passed
    assert read.figures == {"speed": "7"}


def test_results_of_pytest_are_read(tmp_path: pathlib.Path) -> None:
    (tmp_path / "netns.x.xml").write_text(
        '<testsuites><testsuite><testcase classname="test_x" name="t"><properties><property name="row" value="a"/>'
        '</properties></testcase><testcase classname="test_x" name="u"><properties><property name="row" value="b"/>'
        "</properties><failure>no</failure></testcase></testsuite></testsuites>")
    (tmp_path / "test_x.py").write_text('@pytest.mark.row("a", "b")\ndef test_t(): pass\n')
    (tmp_path / "test_y.py").write_text('@pytest.mark.row("c")\ndef test_t(): pass\n')
    read = report.read_results(tmp_path, tmp_path)
    assert read.proofs == {"a": Proof(passed={"test_x.t"}), "b": Proof(failed={"test_x.u"}), "c": Proof(absent={"y"})}


def test_a_file_that_could_not_be_read_proves_nothing(tmp_path: pathlib.Path) -> None:
    (tmp_path / "netns.x.xml").write_text('<testsuites><testsuite><testcase classname="" name="test_x"><error/>'
                                          "</testcase></testsuite></testsuites>")
    (tmp_path / "test_x.py").write_text('@pytest.mark.row("a")\ndef test_t(): pass\n')
    assert report.read_results(tmp_path, tmp_path).proofs == {"a": Proof(failed={"x"})}


def test_the_lists_of_the_repository_can_be_read() -> None:
    read = report.read_lists()
    assert len(read.rows) > 300
    for row in read.rows.values():
        assert row.level in ("M", "S", "O", "-", "M/S") and row.title
        assert set(row.decisions) <= set(read.policy), row.id
    assert all(row.on for row in read.rows.values())


def test_a_report_that_says_something_else_shuts_it() -> None:
    known = lists(open={"c": "later"})
    known.rows |= {"c": Row("c", "S", ["S"], [], "one | two", "One")}
    proved = results(a=PASSED)
    text = report.report(known, proved)
    assert report.differences(text, known, proved) == []
    assert report.differences(text.replace("| passed |", "| **open** |"), known, proved) == [
        "a: passed, and the report says open"]
    assert len(report.differences("", known, proved)) == 3


def test_the_report_has_every_row_once() -> None:
    read = report.read_lists()
    text = report.report(read, results())
    for row in read.rows:
        assert text.count(f"\n| {row} | ") == 1
