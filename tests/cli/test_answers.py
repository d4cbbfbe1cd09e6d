# SPDX-License-Identifier: Apache-2.0
"""What people and scripts see of each answer of the agent."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
from typing import NamedTuple

import pytest

from conftest import HERE, PROGRAMS
from fake_agent import prepared, problem

class Answer(NamedTuple):
    golden: str
    words: str
    request: str
    answer: str
    code: int


ANSWERS = [Answer(*row) for row in [
    ("status", "status", "GET /v1/status", "status", 0),
    ("status_failing", "status", "GET /v1/status", "status_failing", 0),
    ("status_detached", "status", "GET /v1/status", "status_detached", 0),
    ("plan", "plan {file}", "POST /v1/plan", "plan", 2),
    ("plan_nothing", "plan {file}", "POST /v1/plan", "apply_nothing", 0),
    ("apply", "apply {file}", "POST /v1/apply", "apply", 0),
    ("apply_nothing", "apply {file}", "POST /v1/apply", "apply_nothing", 0),
    ("apply_awaits", "apply {file} --confirm 5m", "POST /v1/apply", "apply_awaits", 0),
    ("confirm", "confirm", "POST /v1/confirm", "confirm", 0),
    ("rollback", "rollback", "POST /v1/rollback", "apply", 0),
    ("reload", "reload", "POST /v1/reload", "apply", 0),
    ("get_vpcs", "get vpcs", "GET /v1/vpcs", "vpcs", 0),
    ("get_route_tables", "get route_tables", "GET /v1/route_tables", "route_tables", 0),
    ("get_nat_gateway", "get nat_gateways egress", "GET /v1/nat_gateways/egress", "nat_gateway", 0),
    ("get_route_table", "get route_tables private", "GET /v1/route_tables/private", "route_table", 0),
    ("create", "create elastic_ips eip-3 address=198.51.100.12", "POST /v1/elastic_ips", "elastic_ip", 0),
    ("set", "set elastic_ips eip-3 instance=db", "PATCH /v1/elastic_ips/eip-3", "elastic_ip_of_instance", 0),
    ("replace", "replace elastic_ips eip-3 instance=db", "PUT /v1/elastic_ips/eip-3", "elastic_ip_of_instance", 0),
    ("set_nothing", "set elastic_ips eip-3 instance=null", "PATCH /v1/elastic_ips/eip-3", "elastic_ip", 0),
    ("eip_associate", "eip associate eip-3 db", "PATCH /v1/elastic_ips/eip-3", "elastic_ip_of_instance", 0),
    ("drain", "drain eip-1 --status", "GET /v1/elastic_ips/eip-1/drain", "drain", 0),
    ("drain_done", "drain eip-1 --status", "GET /v1/elastic_ips/eip-1/drain", "drain_done", 0),
    ("flows", "flows", "GET /v1/flows", "flows", 0),
    ("flows_long", "flows", "GET /v1/flows", "flows_long", 0),
    ("flows_top", "flows --top", "GET /v1/flows", "top", 0),
    ("flows_inner", "flows --inner", "GET /v1/flows", "inner_flows", 0),
    ("who", "who 198.51.100.10:2100", "GET /v1/who", "who", 0),
    ("who_then", "who 198.51.100.10:2100 --at 2026-01-02T03:04:05Z", "GET /v1/who", "who_then", 0),
    ("who_nobody", "who 198.51.100.10:2100 --at 1767323045", "GET /v1/who", "who_nobody", 1),
    ("explain", "explain tcp 10.0.1.12:40000 203.0.113.10:443", "GET /v1/explain", "explain", 0),
    ("explain_drop", "explain tcp:10.0.2.50:40000-203.0.113.10:25", "GET /v1/explain", "explain_drop", 0),
    ("explain_pass", "explain udp 203.0.113.10:500 198.51.100.1:500", "GET /v1/explain", "explain_pass", 0),
    ("detach", "detach", "POST /v1/detach", "detach", 0),
    ("doctor", "doctor", "GET /v1/doctor", "doctor", 1),
    ("doctor_well", "doctor", "GET /v1/doctor", "doctor_well", 0),
    ("history", "history", "GET /v1/history", "history", 0),
]]


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "sallyport.yaml"
    path.write_text("api_version: sallyport/v1\n")
    return path


@pytest.mark.parametrize("case", ANSWERS, ids=[case.golden for case in ANSWERS])
class TestAnswer:
    @pytest.fixture
    def result(self, sallyport, agent, document, case):
        agent.answers["GET /v1/elastic_ips/eip-3"] = prepared("elastic_ip")
        agent.answers[case.request] = prepared(case.answer)
        return lambda *more: sallyport(*case.words.format(file=document).split(), *more)

    def test_text(self, result, golden, case):
        done = result()
        assert (done.returncode, done.stderr) == (case.code, "")
        golden(f"{case.golden}.txt", done.stdout)

    def test_text_fits_80_columns(self, result):
        assert max(len(line) for line in result().stdout.splitlines()) <= 80

    def test_json_is_the_answer_unchanged(self, result, case):
        done = result("-o", "json")
        assert (done.returncode, done.stderr) == (case.code, "")
        assert done.stdout == json.dumps(prepared(case.answer), indent=2, ensure_ascii=False) + "\n"


class TestTerminal:
    @pytest.fixture
    def show(self, agent):
        agent.answers["GET /v1/status"] = prepared("status")

        def run_on_terminal(columns: int, **environment: str) -> str:
            """What `status` writes to a terminal of that width."""
            ours, theirs = pty.openpty()
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            with subprocess.Popen([f"{PROGRAMS}/sallyport", "--socket", agent.socket, "status"], stdout=theirs,
                                  env={"TERM": "xterm", **environment}):
                os.close(theirs)
                text = b""
                try:
                    while read := os.read(ours, 65536):
                        text += read
                except OSError:  # how Linux says that the other side is closed
                    pass
            os.close(ours)
            return text.decode().replace("\r\n", "\n")

        return run_on_terminal

    def test_colours_only_there_and_only_if_wanted(self, show, golden):
        coloured = show(80)
        assert "\033[32mnative" in coloured
        for plain in (show(80, NO_COLOR="1"), show(80, TERM="dumb"), re.sub(r"\033\[\d*m", "", coloured)):
            golden("status.txt", plain)

    def test_its_width_counts(self, show):
        assert "ANSWERED" not in show(60)
        assert "ANSWERED" in show(60, COLUMNS="100")


def test_flow_count(sallyport, agent):
    agent.answers["GET /v1/flows"] = {"count": 64512}
    assert sallyport("flows", "--count").stdout == "64512\n"
    assert agent.requests[-1].query == {"count": "true"}


def test_filters_reach_the_agent(sallyport, agent):
    agent.answers["GET /v1/flows"] = prepared("flows")
    sallyport("flows", "--inside", "10.0.1.0/24", "--external", "198.51.100.10:4321", "--remote=203.0.113.10",
              "--protocol", "tcp", "--limit", "7")
    assert agent.requests[-1].query == {"inside": "10.0.1.0/24", "external": "198.51.100.10:4321",
                                        "remote": "203.0.113.10", "protocol": "tcp", "limit": "7"}


def test_who_asks_the_agent_for_an_endpoint(sallyport, agent):
    agent.answers["GET /v1/who"] = prepared("who_nobody")
    done = sallyport("who", "198.51.100.10:2100")
    assert (done.returncode, done.stdout) == (1, "nobody is known to have had 198.51.100.10:2100\n")
    assert agent.requests[-1].query == {"address": "198.51.100.10", "port": "2100"}
    sallyport("who", "198.51.100.10:2100", "--protocol", "udp", "--at", "2026-01-02T04:04:05+01:00")
    assert agent.requests[-1].query == {"address": "198.51.100.10", "port": "2100", "protocol": "udp",
                                        "at": "2026-01-02T04:04:05+01:00"}


@pytest.mark.parametrize("words", ["icmp 10.0.1.12:7 203.0.113.10", "icmp:10.0.1.12:7-203.0.113.10"])
def test_a_tuple_is_three_words_or_one(sallyport, agent, words):
    agent.answers["GET /v1/explain"] = prepared("explain")
    assert sallyport("explain", *words.split()).returncode == 0
    tuple_ = {"protocol": "icmp", "source": "10.0.1.12:7", "destination": "203.0.113.10"}
    assert agent.requests[-1].query == tuple_
    sallyport("explain", *words.split(), "--vpc", "main", "--flags=syn-ack")
    assert agent.requests[-1].query == {**tuple_, "vpc": "main", "flags": "syn-ack"}


@pytest.mark.parametrize("words", ["", "tcp", "tcp 10.0.1.12:1", "tcp:10.0.1.12:1", "tcp:10.0.1.12:1-10.0.1.13:1 10.0.1.1",
                                   "tcp 10.0.1.12:1 10.0.1.300:1", "tcp 10.0.1.12:1 10.0.1.3:1 --flags urg"])
def test_what_is_no_tuple_is_wrong_usage(sallyport, agent, words):
    done = sallyport("explain", *words.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert not agent.requests


def test_wide_screens_show_all_columns(sallyport, agent, golden):
    agent.answers["GET /v1/flows"] = prepared("flows")
    golden("flows_wide.txt", sallyport("flows", env={"COLUMNS": "140"}).stdout)


@pytest.mark.parametrize("words", ["get {kind}s", "flows", "flows --top", "history", "status"])
def test_nothing_to_show_is_said(sallyport, agent, words):
    for request in ("GET /v1/vpcs", "GET /v1/flows", "GET /v1/history", "GET /v1/status"):
        agent.answers[request] = {"vpcs": [], "flows": [], "top": [], "revisions": [], "drops": []}
    done = sallyport(*words.format(kind="vpc").split())
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith(("no ", "nothing "))


@pytest.mark.parametrize("answer", [{}, {"devices": 7, "flows": [], "drops": [None, 5, "x"], "nat_gateways": [{}]}])
def test_fields_that_are_missing_or_odd_do_no_harm(sallyport, agent, answer):
    agent.answers["GET /v1/status"] = answer
    done = sallyport("status")
    assert (done.returncode, done.stderr) == (0, "")


def test_documents_are_sent_with_their_name(sallyport, agent, document):
    agent.answers["POST /v1/plan"] = prepared("apply_nothing")
    sallyport("plan", str(document))
    assert agent.requests[-1].body == {"document": "api_version: sallyport/v1\n", "name": str(document)}
    sallyport("plan", "-", input="gateway: {}\n")
    assert agent.requests[-1].body == {"document": "gateway: {}\n", "name": "standard input"}


class TestCreate:
    @pytest.fixture
    def created(self, sallyport, agent):
        """What `create` sends for these words."""
        agent.answers["POST /v1/nat_gateways"] = {}

        def create(*words, **more):
            done = sallyport("create", "nat_gateways", "one", *words, **more)
            assert (done.returncode, done.stdout, done.stderr) == (0, "created NAT gateway one\n", "")
            return agent.requests[-1].body

        return create

    def test_fields_are_read_like_those_of_the_file(self, created):
        assert created("vpc=main", "elastic_ips=[eip-1, eip-2]", "timeouts.udp=300s", "timeouts.icmp=1m",
                       "log_flows=true", "limits={flows_per_host: 7}", "port_range=1024-2000",
                       "reserved_ports=[5000, '6000']", "x=a=b: c", "y=", "z=\"7\"", "n=-7", "v=007") == {
            "vpc": "main", "elastic_ips": ["eip-1", "eip-2"], "timeouts": {"udp": "300s", "icmp": "1m"},
            "log_flows": True, "limits": {"flows_per_host": 7}, "port_range": "1024-2000",
            "reserved_ports": [5000, "6000"], "x": "a=b: c", "y": "", "z": "7", "n": -7, "v": "007", "name": "one"}

    def test_fields_may_come_from_a_file_or_standard_input(self, created, tmp_path):
        (tmp_path / "one.yaml").write_text("vpc: main\ntimeouts: { udp: 300s }\n")
        assert created("--file", f"{tmp_path}/one.yaml", "timeouts.icmp=5s") == {
            "vpc": "main", "timeouts": {"udp": "300s", "icmp": "5s"}, "name": "one"}
        assert created("--file", "-", "vpc=lab", input='{"name": "one", "vpc": "main", "log_flows": false}') == {
            "name": "one", "vpc": "lab", "log_flows": False}

    def test_each_request_has_a_key_of_its_own(self, created, agent):
        created()
        created()
        keys = [request.headers["Idempotency-Key"] for request in agent.requests]
        assert len(set(keys)) == 2 and all(re.fullmatch("[0-9a-f]{32}", key) for key in keys)

    def test_what_broke_off_is_sent_again_with_the_same_key(self, sallyport, agent):
        agent.answers["POST /v1/vpcs"] = [(0, {}), (0, {}), (201, {"name": "lab"})]
        assert sallyport("create", "vpcs", "lab", "cidrs=[10.1.0.0/16]").returncode == 0
        assert [request.body for request in agent.requests] == 3 * [{"cidrs": ["10.1.0.0/16"], "name": "lab"}]
        assert len({request.headers["Idempotency-Key"] for request in agent.requests}) == 1

    def test_what_is_still_being_carried_out_is_asked_for_again(self, sallyport, agent):
        busy = problem(409, "Conflict", "a request with this key is still being carried out")
        agent.headers["Retry-After"] = "1"
        agent.answers["POST /v1/vpcs"] = [(0, {}), busy, (201, {"name": "lab"})]
        assert sallyport("create", "vpcs", "lab", "cidrs=[10.1.0.0/16]").returncode == 0
        assert len({request.headers["Idempotency-Key"] for request in agent.requests}) == 1
        del agent.headers["Retry-After"]
        agent.answers["POST /v1/vpcs"] = [problem(409, "Conflict", "there is a VPC \"lab\" already")]
        assert sallyport("create", "vpcs", "lab", "cidrs=[10.1.0.0/16]").returncode == 5

    @pytest.mark.parametrize(("words", "code", "message"), [
        (["a.b=1", "a=2", "a.c=3"], 2, "a is no map, and a.c leads into it"),
        (["a=[1"], 2, "sallyport: a:1:"), (["a={b: 1, b: 2}"], 2, "duplicate key \"b\""),
        (["name=other"], 2, "its field name says \"other\""), (["--file", "/nonexistent"], 1, "/nonexistent"),
        (["word"], 2, "\"word\" is no FIELD=VALUE"), (["=x"], 2, "\"=x\" is no FIELD=VALUE")])
    def test_what_cannot_be_understood_is_not_sent(self, sallyport, agent, words, code, message):
        done = sallyport("create", "vpcs", "lab", *words)
        assert (done.returncode, done.stdout) == (code, "")
        assert message in done.stderr
        assert agent.requests == []

    def test_a_file_must_hold_a_map(self, sallyport):
        done = sallyport("create", "vpcs", "lab", "--file", "-", input="[1]")
        assert done.returncode == 1 and "standard input holds no map" in done.stderr

    def test_a_resource_may_be_called_like_a_command(self, sallyport, agent):
        agent.answers["POST /v1/vpcs"] = {}
        assert sallyport("create", "vpcs", "status").returncode == 0
        assert agent.requests[-1].body == {"name": "status"}


class TestSet:
    @pytest.fixture
    def patched(self, sallyport, agent):
        """What `set` sends for these words."""
        agent.answers["GET /v1/nat_gateways/one"] = {"name": "one"}
        agent.answers["PATCH /v1/nat_gateways/one"] = {"name": "one", "vpc": "lab"}

        def set_fields(*words, **more):
            done = sallyport("set", "nat_gateways", "one", *words, **more)
            assert (done.returncode, done.stdout, done.stderr) == (0, "changed NAT gateway one\n", "")
            return agent.requests[-1].body

        return set_fields

    def test_fields_that_are_named_and_no_others(self, patched):
        assert patched("elastic_ips=[eip-1, '7']", "timeouts.udp=300s", "log_flows=true", "x=7", "y=007") == {
            "elastic_ips": ["eip-1", "7"], "timeouts": {"udp": "300s"}, "log_flows": True, "x": 7, "y": "007"}

    def test_null_takes_a_field_back_and_quotes_make_it_text(self, patched):
        assert patched("timeouts=null", "limits.flows_per_host=null", "x={a: null, b: ~, c: 'null'}", "y=\"null\"",
                       "z=Null") == {
            "timeouts": None, "limits": {"flows_per_host": None}, "x": {"a": None, "b": None, "c": "null"}, "y": "null",
            "z": "Null"}

    def test_fields_may_come_from_a_file_or_standard_input(self, patched, tmp_path):
        (tmp_path / "one.yaml").write_text("vpc: main\ntimeouts: { udp: 300s, icmp: null }\n")
        assert patched("--file", f"{tmp_path}/one.yaml", "timeouts.udp=5s") == {
            "vpc": "main", "timeouts": {"udp": "5s", "icmp": None}}
        assert patched("--file", "-", input='{"name": "one", "origin": "api"}') == {"name": "one", "origin": "api"}

    @pytest.mark.parametrize(("words", "code", "message"), [
        ([], 2, "FIELD=VALUE or --file is missing"), (["word"], 2, "\"word\" is no FIELD=VALUE"),
        (["a=null", "a.b=1"], 2, "a is no map, and a.b leads into it"), (["a=[1"], 2, "sallyport: a:1:"),
        (["name=other"], 2, "its field name says \"other\""), (["--file", "/nonexistent"], 1, "/nonexistent")])
    def test_what_cannot_be_understood_is_not_sent(self, sallyport, agent, words, code, message):
        done = sallyport("set", "vpcs", "lab", *words)
        assert (done.returncode, done.stdout) == (code, "")
        assert message in done.stderr
        assert agent.requests == []

    def test_one_that_is_not_there(self, sallyport, agent):
        done = sallyport("set", "vpcs", "lab", "cidrs=[10.1.0.0/16]")
        assert (done.returncode, done.stdout, done.stderr) == (1, "", "sallyport: there is no GET /v1/vpcs/lab\n")
        assert [request.method for request in agent.requests] == ["GET"]

    @pytest.mark.parametrize(("status", "code"), [(400, 1), (404, 1), (409, 5), (403, 4)])
    def test_exit_codes(self, sallyport, agent, status, code):
        agent.answers["GET /v1/vpcs/lab"] = {"name": "lab"}
        agent.answers["PATCH /v1/vpcs/lab"] = problem(status, "Title", "why")
        done = sallyport("set", "vpcs", "lab", "cidrs=[]")
        assert (done.returncode, done.stdout, done.stderr) == (code, "", "sallyport: why\n")


class TestReplace:
    def test_says_all_of_it(self, sallyport, agent):
        agent.answers["PUT /v1/vpcs/lab"] = (201, {"name": "lab"})
        done = sallyport("replace", "vpcs", "lab", "cidrs=[10.1.0.0/16]")
        assert (done.returncode, done.stdout, done.stderr) == (0, "created VPC lab\n", "")
        assert agent.requests[-1].body == {"cidrs": ["10.1.0.0/16"], "name": "lab"}
        agent.answers["GET /v1/vpcs/lab"] = {"name": "lab"}
        assert sallyport("replace", "vpcs", "lab", "cidrs=[10.1.0.0/16]").stdout == "no changes\n"
        agent.answers["PUT /v1/vpcs/lab"] = {"name": "lab", "cidrs": []}
        assert sallyport("replace", "vpcs", "lab").stdout == "changed VPC lab\n"

    @pytest.mark.parametrize(("status", "code"), [(400, 1), (409, 5), (412, 5), (403, 4)])
    def test_exit_codes(self, sallyport, agent, status, code):
        agent.answers["PUT /v1/vpcs/lab"] = problem(status, "Title", "why")
        done = sallyport("replace", "vpcs", "lab", "cidrs=[]")
        assert (done.returncode, done.stdout, done.stderr) == (code, "", "sallyport: why\n")


class TestTag:
    TAG = '"5f2a"'

    def test_is_what_get_says(self, sallyport, agent):
        agent.headers["ETag"] = self.TAG
        agent.answers["GET /v1/vpcs/lab"] = {"name": "lab"}
        assert sallyport("get", "vpcs", "lab", "--etag").stdout == self.TAG + "\n"
        assert json.loads(sallyport("get", "vpcs", "lab", "--etag", "-o", "json").stdout) == {"etag": self.TAG}
        assert agent.requests[-1].query == {}

    @pytest.mark.parametrize(("words", "method"), [("set vpcs lab a=b", "PATCH"), ("replace vpcs lab a=b", "PUT"),
                                                   ("delete vpcs lab", "DELETE")])
    def test_goes_with_a_change(self, sallyport, agent, words, method):
        agent.answers["GET /v1/vpcs/lab"] = {"name": "lab"}
        agent.answers[f"{method} /v1/vpcs/lab"] = problem(412, "Precondition Failed", "it has been changed")
        done = sallyport(*words.split(), "--if-match", self.TAG)
        assert (done.returncode, done.stdout, done.stderr) == (5, "", "sallyport: it has been changed\n")
        assert agent.requests[-1].headers["If-Match"] == self.TAG
        sallyport(*words.split())
        assert "If-Match" not in agent.requests[-1].headers


@pytest.mark.parametrize("words", ["apply {file}", "confirm", "rollback", "reload", "create vpcs lab", "drain eip-1",
                                   "detach"])
def test_a_key_of_ones_own_goes_with_a_command(sallyport, agent, document, words):
    drain = "elastic_ips/eip-1/drain"
    agent.answers.update({f"POST /v1/{answer}": [(0, {}), {}]
                          for answer in ("apply", "confirm", "rollback", "reload", "vpcs", drain, "detach")})
    agent.answers[f"GET /v1/{drain}"] = {}
    assert sallyport(*words.format(file=document).split(), "--idempotency-key", "key-7").returncode == 0
    keys = [request.headers["Idempotency-Key"] for request in agent.requests if request.method == "POST"]
    assert keys == ["key-7"] * 2  # the first one broke off


@pytest.mark.parametrize(("words", "path", "query"), [
    ("get vpcs --limit 2 --after 6d", "/v1/vpcs", {"limit": "2", "after": "6d"}),
    ("history --limit=2 --after 6d --min-revision 4", "/v1/history",
     {"limit": "2", "after": "6d", "min_revision": "4"}),
    ("get vpcs lab --min-revision 4", "/v1/vpcs/lab", {"min_revision": "4"}),
    ("flows --min-revision 4", "/v1/flows", {"min_revision": "4"}),
    ("status --min-revision 4", "/v1/status", {"min_revision": "4"})])
def test_parts_of_the_answer_are_asked_for(sallyport, agent, words, path, query):
    agent.answers[f"GET {path}"] = {}
    assert sallyport(*words.split()).returncode == 0
    assert (agent.requests[-1].path, agent.requests[-1].query) == (path, query)


@pytest.mark.parametrize("words", ["get vpcs", "history"])
def test_a_page_says_which_one_follows(sallyport, agent, words):
    agent.answers["GET /v1/vpcs"] = {**prepared("vpcs"), "next": "6d"}
    agent.answers["GET /v1/history"] = {**prepared("history"), "next": "6d"}
    assert sallyport(*words.split(), "--limit", "2").stdout.splitlines()[-1] == "more: --after 6d"
    agent.answers["GET /v1/vpcs"]["next"] = agent.answers["GET /v1/history"]["next"] = None
    assert "more" not in sallyport(*words.split(), "--limit", "2").stdout


class TestReady:
    def test_says_why_not(self, sallyport, agent):
        agent.answers["GET /readyz"] = problem(503, "Service Unavailable", "lan0 is gone")
        done = sallyport("ready")
        assert (done.returncode, done.stdout, done.stderr) == (1, "", "sallyport: lan0 is gone\n")

    def test_waits_for_it(self, sallyport, agent):
        agent.answers["GET /readyz"] = [problem(503, "Service Unavailable", "not yet")] * 3 + [b"ready\n"] * 2
        assert sallyport("ready", "--wait", "20s").stdout == "ready\n"
        assert len(agent.requests) == 4
        assert json.loads(sallyport("ready", "-o", "json").stdout) == {"ready": True}

    def test_waits_for_nobody_who_may_not_ask(self, sallyport, agent):
        agent.answers["GET /readyz"] = problem(401, "Unauthorized", "a token is needed")
        assert sallyport("ready", "--wait", "20s").returncode == 4
        assert len(agent.requests) == 1

    def test_waits_no_longer_than_asked(self, run):
        began = time.monotonic()
        assert run("sallyport", "--socket", "/nonexistent", "ready", "--wait", "1s").returncode == 3
        assert 1 <= time.monotonic() - began < 10


class TestWatch:
    def test_shows_what_changes_and_asks_on(self, sallyport, agent, golden):
        vpcs = prepared("vpcs")
        agent.answers["GET /v1/vpcs"] = [vpcs, (304, {}), {"vpcs": []}]
        done = sallyport("watch", "vpcs", "--count", "2")
        assert (done.returncode, done.stderr) == (0, "")
        golden("watch.txt", done.stdout)
        assert [request.query for request in agent.requests] == [{}] + [{"after_revision": "3", "wait": "30"}] * 2

    def test_json_has_one_object_on_a_line(self, sallyport, agent):
        agent.answers["GET /v1/status"] = [{"gateway": "one"}, {"gateway": "two"}]
        done = sallyport("watch", "--since", "2", "--count", "2", "-o", "json")
        assert [json.loads(line) for line in done.stdout.splitlines()] == [
            {"revision": 3, "answer": {"gateway": "one"}}, {"revision": 3, "answer": {"gateway": "two"}}]
        assert [request.query["after_revision"] for request in agent.requests] == ["2", "3"]

    def test_who_says_no_revision_is_not_asked_again(self, sallyport, agent):
        agent.answers["GET /v1/status"] = {}
        agent.headers.clear()
        assert sallyport("watch").returncode == 1
        assert len(agent.requests) == 1

    def test_refusals_end_it(self, sallyport, agent):
        agent.answers["GET /v1/status"] = [{}, problem(503, "Service Unavailable", "too many wait")]
        done = sallyport("watch")
        assert (done.returncode, done.stderr) == (1, "sallyport: too many wait\n")


class TestDelete:
    def test_says_what_is_gone(self, sallyport, agent):
        agent.answers["DELETE /v1/elastic_ips/eip-3"] = (204, {})
        done = sallyport("delete", "elastic_ips", "eip-3")
        assert (done.returncode, done.stdout, done.stderr) == (0, "deleted Elastic IP eip-3\n", "")
        done = sallyport("delete", "elastic_ips", "eip-3", "-o", "json")
        assert (done.returncode, done.stdout) == (0, "{}\n")
        assert agent.requests[-1].body is None

    @pytest.mark.parametrize(("status", "code"), [(404, 1), (409, 5), (403, 4)])
    def test_exit_codes(self, sallyport, agent, status, code):
        agent.answers["DELETE /v1/vpcs/lab"] = problem(status, "Title", "why")
        done = sallyport("delete", "vpcs", "lab")
        assert (done.returncode, done.stdout, done.stderr) == (code, "", "sallyport: why\n")


class TestElasticIp:
    @pytest.fixture(autouse=True)
    def prepare(self, agent):
        agent.answers["GET /v1/elastic_ips/eip-3"] = prepared("elastic_ip")
        agent.answers["GET /v1/elastic_ips/eip-4"] = prepared("elastic_ip_of_instance")

    def test_associate_changes_one_field(self, sallyport, agent):
        agent.answers["PATCH /v1/elastic_ips/eip-3"] = prepared("elastic_ip_of_instance")
        assert sallyport("eip", "associate", "eip-3", "db").returncode == 0
        assert agent.requests[-1].body == {"instance": "db"}

    def test_disassociate(self, sallyport, agent):
        agent.answers["PATCH /v1/elastic_ips/eip-4"] = prepared("elastic_ip")
        done = sallyport("eip", "disassociate", "eip-4")
        assert (done.returncode, done.stdout) == (0, "Elastic IP eip-3 (198.51.100.12) belongs to no instance\n")
        assert agent.requests[-1].body == {"instance": None}

    @pytest.mark.parametrize("words", ["associate eip-4 db", "disassociate eip-3"])
    def test_what_is_so_already_is_no_change(self, sallyport, agent, words):
        done = sallyport("eip", *words.split())
        assert (done.returncode, done.stdout) == (0, "no changes\n")
        assert [request.method for request in agent.requests] == ["GET"]

    def test_one_that_is_not_there(self, sallyport):
        assert sallyport("eip", "associate", "eip-9", "db").returncode == 1


def test_prune_reaches_the_agent(sallyport, agent, document):
    agent.answers["POST /v1/plan"] = prepared("apply_nothing")
    sallyport("plan", "--prune", str(document))
    assert agent.requests[-1].body["prune"] is True


def test_names_are_encoded(sallyport, agent):
    done = sallyport("get", "vpcs", "a/../b?c")
    assert done.returncode == 1
    assert agent.requests[-1].path == "/v1/vpcs/a%2F..%2Fb%3Fc"


def test_an_answer_that_cannot_be_written_is_no_success(sallyport, agent):
    agent.answers["GET /v1/status"] = prepared("status")
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([f"{PROGRAMS}/sallyport", "--socket", agent.socket, "status"], stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "standard output" in done.stderr


class TestVersion:
    def test_of_both(self, sallyport, agent):
        agent.answers["GET /v1/version"] = {"version": "0.9.9"}
        done = sallyport("version")
        assert done.returncode == 0
        assert done.stdout.splitlines()[0].startswith("sallyport  0.")
        assert done.stdout.splitlines()[1] == "sallyportd 0.9.9"
        assert json.loads(sallyport("version", "-o", "json").stdout)["agent"] == {"version": "0.9.9"}

    def test_needs_no_agent(self, run):
        done = run("sallyport", "--socket", "/nonexistent", "version")
        assert done.returncode == 0
        assert "sallyportd not known" in done.stdout
        assert run("sallyport", "--version").stdout == done.stdout.splitlines()[0].replace("  ", " ") + "\n"


class TestMonitor:
    def test_prints_events_and_asks_on(self, sallyport, agent, golden):
        agent.answers["GET /v1/drops"] = [{"events": [], "next": 7}, prepared("drops")]
        done = sallyport("monitor", "--drops", "--count", "2")
        assert done.returncode == 0
        golden("monitor.txt", done.stdout)
        assert [request.query for request in agent.requests] == [{"wait": "0"}, {"after": "7", "wait": "30"}]

    def test_json_is_one_event_a_line(self, sallyport, agent):
        agent.answers["GET /v1/drops"] = [{"events": [], "next": 7}, prepared("drops")]
        done = sallyport("-o", "json", "monitor", "--count", "2")
        assert [json.loads(line) for line in done.stdout.splitlines()] == prepared("drops")["events"]

    def test_says_how_many_it_missed(self, sallyport, agent):
        answers = [{"events": [], "next": 7}, {**prepared("drops"), "missed": 4711}]
        agent.answers["GET /v1/drops"] = list(answers)
        assert sallyport("monitor", "--count", "1").stdout.splitlines()[0] == "... 4711 events not shown"
        agent.answers["GET /v1/drops"] = list(answers)
        done = sallyport("monitor", "--count", "1", "-o", "json")
        assert json.loads(done.stdout.splitlines()[0]) == {"missed": 4711}

    def test_an_interrupt_is_its_normal_end(self, agent):
        agent.answers["GET /v1/drops"] = [{"events": [], "next": 7}] * 100000
        with subprocess.Popen([f"{PROGRAMS}/sallyport", "--socket", agent.socket, "monitor"]) as running:
            while len(agent.requests) < 2:
                assert running.poll() is None
            running.send_signal(signal.SIGINT)
            assert running.wait(timeout=10) == 0

    def test_ends_when_the_agent_refuses(self, sallyport, agent):
        agent.answers["GET /v1/drops"] = [{"events": [], "next": 7}]
        assert sallyport("monitor").returncode == 1


class TestDoctorWithoutAgent:
    def test_examines_the_host_itself(self, run):
        done = run("sallyport", "--socket", "/nonexistent", "doctor", "--config", f"{HERE}/files/right.yaml", "-o", "json")
        checks = json.loads(done.stdout)["checks"]
        assert checks[0]["check"] == "agent"
        assert checks[0]["severity"] == "warning"
        assert {"kernel", "ip_forward", "device"} <= {check["check"] for check in checks}
        assert all(set(check) == {"check", "subject", "severity", "found", "text", "mend"} for check in checks)
        assert done.returncode == (1 if any(check["severity"] == "error" for check in checks) else 0)
        assert done.stderr == ""

    def test_says_what_is_wrong_with_a_file_that_was_named(self, run):
        done = run("sallyport", "--socket", "/nonexistent", "doctor", "--config", f"{HERE}/files/wrong.yaml")
        assert (done.returncode, done.stdout) == (1, "")
        assert "wrong.yaml:4:3: gateway.colour: unknown key" in done.stderr

    def test_prefers_the_agent(self, sallyport, agent):
        agent.answers["GET /v1/doctor"] = prepared("doctor_well")
        assert sallyport("doctor", "--config", "/nonexistent").returncode == 0
