# SPDX-License-Identifier: Apache-2.0
"""What comes out when there is no answer: exit codes are a contract with scripts."""

import json
import os
import socket
import threading

import pytest

from fake_agent import problem

FAULTS = [
    {"file": "gw.yaml", "line": 3, "column": 5, "path": "gateway.nme", "read": "nme", "expected": "name, devices",
     "message": "unknown key \"nme\"; right would be: name, devices"},
    {"file": "gw.yaml", "line": 9, "column": 1, "path": "vpcs", "read": "", "expected": "",
     "message": "a second one"},
]

# (HTTP status, exit code)
STATUSES = [(400, 1), (401, 4), (403, 4), (404, 1), (405, 1), (409, 5), (412, 5), (422, 1), (500, 1), (503, 1)]


@pytest.mark.parametrize("status, code", STATUSES)
def test_exit_code_of_each_status(sallyport, agent, status, code):
    agent.answers["POST /v1/reload"] = problem(status, "Title", "the reason in words")
    done = sallyport("reload")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == "sallyport: the reason in words\n"


def test_json_problems_are_the_agents_and_on_standard_error(sallyport, agent):
    agent.answers["POST /v1/reload"] = problem(409, "Conflict", "in use", faults=FAULTS)
    done = sallyport("reload", "-o", "json")
    assert (done.returncode, done.stdout) == (5, "")
    assert json.loads(done.stderr) == agent.answers["POST /v1/reload"][1]


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_faults_of_a_document_are_all_shown(sallyport, agent, tmp_path, command):
    (tmp_path / "gw.yaml").write_text("x: 1\n")
    agent.answers[f"POST /v1/{command}"] = problem(400, "Invalid document", "gw.yaml has 2 faults", faults=FAULTS)
    done = sallyport(command, "gw.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "sallyport: gw.yaml has 2 faults",
        "gw.yaml:3:5: gateway.nme: unknown key \"nme\"; right would be: name, devices",
        "gw.yaml:9:1: vpcs: a second one",
    ]


@pytest.mark.parametrize("answer", [b"", b"not JSON", b"[1, 2]", b"\"text\"", b"{\"cut\": ", b"\xff\xfe{}"])
def test_answers_that_are_no_json_object(sallyport, agent, answer):
    agent.answers["GET /v1/status"] = answer
    done = sallyport("status")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no JSON object" in done.stderr


@pytest.mark.parametrize("answer, code", [((403, b"no"), 4), ((409, b""), 5), ((500, b"<html>"), 1)])
def test_refusals_that_are_no_json_keep_their_exit_code(sallyport, agent, answer, code):
    agent.answers["GET /v1/status"] = answer
    assert sallyport("status").returncode == code


@pytest.mark.parametrize("words", ["status", "plan /dev/null", "apply /dev/null", "reload", "get vpcs", "flows",
                                   "monitor", "detach", "history", "who 198.51.100.10:1",
                                   "explain tcp 10.0.1.12:1 203.0.113.10:1"])
def test_agent_not_there(run, words):
    done = run("sallyport", "--socket", "/nonexistent/api.sock", *words.split())
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == ("sallyport: cannot reach the agent at /nonexistent/api.sock: No such file or directory; "
                           "is sallyportd running? (systemctl status sallyport)\n")


def test_socket_of_an_agent_that_is_gone(run, agent):
    left = os.path.join(agent.folder, "left.sock")
    gone = socket.socket(socket.AF_UNIX)
    gone.bind(left)
    gone.close()
    done = run("sallyport", "--socket", left, "status", "-o", "json")
    assert done.returncode == 3
    assert "Connection refused" in json.loads(done.stderr)["detail"]


def test_agent_that_ends_in_the_middle(run, agent):
    path = os.path.join(agent.folder, "half.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()

        def hang_up():
            client, _ = server.accept()
            client.recv(4096)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            client.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        assert run("sallyport", "--socket", path, "status").returncode == 3
        thread.join()


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody else")
def test_socket_that_may_not_be_used(run, agent):
    os.chmod(agent.folder, 0o755)
    os.chmod(agent.socket, 0o660)
    done = run("sallyport", "--socket", agent.socket, "status", user="nobody", group="nogroup", extra_groups=[])
    assert done.returncode == 4
    assert "group sallyport" in done.stderr


def test_a_proxy_of_the_environment_is_not_asked(sallyport, agent):
    agent.answers["GET /v1/status"] = {}
    proxy = {name: "http://192.0.2.1:9" for name in ("http_proxy", "all_proxy", "ALL_PROXY")}
    assert sallyport("status", env=proxy).returncode == 0


def test_file_that_is_not_there(sallyport, agent):
    done = sallyport("apply", "/nonexistent.yaml")
    assert done.returncode == 1
    assert "/nonexistent.yaml" in done.stderr
    assert agent.requests == []


def test_the_option_wins_over_the_environment(sallyport):
    assert sallyport("--socket", "/nonexistent", "status").returncode == 3


USAGE = {
    "": "no command is given",
    "statsu": "there is no command \"statsu\"",
    "status extra": "unexpected \"extra\"",
    "status --foo": "there is no option --foo",
    "status reload": "one command at a time",
    "-o yaml status": "\"yaml\" is none of text, json",
    "status -o": "--output needs a value",
    "get": "KIND is missing",
    "get cars": "\"cars\" is none of vpcs",
    "get vpcs main more": "unexpected \"more\"",
    "apply": "FILE is missing",
    "create": "KIND is missing",
    "create vpcs": "NAME is missing",
    "create cars one": "\"cars\" is none of vpcs",
    "set vpcs": "NAME is missing",
    "set vpcs main": "FIELD=VALUE or --file is missing",
    "set vpcs main word": "\"word\" is no FIELD=VALUE",
    "replace vpcs": "NAME is missing",
    "delete vpcs": "NAME is missing",
    "get vpcs --etag": "NAME is missing",
    "get vpcs main --limit 2": "NAME is one resource",
    "get vpcs --after=": "--after needs a value",
    "get vpcs --after é": "is no word of 1 to 255 printable characters",
    "--server https://gw1 --socket /x status": "exclude each other",
    "--token-file /x status": "go with --server",
    "--server gw1:8443 status": "\"gw1:8443\" is no https://HOST:PORT",
    "--server https://gw1/v1 status": "is no https://HOST:PORT",
    "--server https://me@gw1 status": "is no https://HOST:PORT",
    "--server ftp://gw1 status": "is no https://HOST:PORT",
    "--server http://gw1:8443 status": "take https://",
    "--server http://127.0.0.1.example.net:8443 status": "take https://",
    "watch cars": "\"cars\" is none of vpcs",
    "ready --wait soon": "\"soon\" is no duration",
    "eip move eip-1 db": "\"move\" is none of associate, disassociate",
    "eip associate eip-1": "INSTANCE is missing",
    "eip disassociate eip-1 db": "unexpected \"db\"",
    "flows --inside 10.0.1": "\"10.0.1\" is no address, prefix or ADDRESS:PORT",
    "flows --remote 10.0.0.1/8": "10.0.0.0/8",
    "flows --protocol sctp": "\"sctp\" is none of tcp, udp, icmp",
    "flows --limit 0": "\"0\" is no whole number",
    "flows --limit -1": "\"-1\" is no whole number",
    "flows --limit": "--limit needs a value",
    "flows --top --count": "exclude each other",
    "who": "ADDRESS:PORT is missing",
    "who 198.51.100.10": "\"198.51.100.10\" is no ADDRESS:PORT",
    "who 198.51.100.10:65536": "is no ADDRESS:PORT",
    "who 198.51.100.10:1 --at yesterday": "\"yesterday\" is no time",
    "who 198.51.100.10:1 --protocol sctp": "\"sctp\" is none of tcp, udp, icmp",
    "monitor --count x": "\"x\" is no whole number",
}


@pytest.mark.parametrize("words", USAGE)
def test_wrong_usage(sallyport, agent, words):
    done = sallyport(*words.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert USAGE[words] in done.stderr
    assert agent.requests == []


class TestServer:
    """The listener on TCP. What it really answers is asked in tests/netns/test_api_over_tcp.py."""

    def test_the_environment_names_it_where_nothing_else_does(self, run, sallyport, agent):
        done = run("sallyport", "status", env={"SALLYPORT_SERVER": "https://localhost:1"})
        assert (done.returncode, done.stdout) == (3, "")
        assert "cannot reach the agent at https://localhost:1: " in done.stderr and "systemctl" not in done.stderr
        agent.answers["GET /v1/status"] = {}
        assert run("sallyport", "--socket", agent.socket, "status",
                   env={"SALLYPORT_SERVER": "https://localhost:1"}).returncode == 0
        done = sallyport("status", env={"SALLYPORT_SERVER": "https://localhost:1"})
        assert (done.returncode, "exclude each other" in done.stderr) == (2, True)
        done = run("sallyport", "status", env={"SALLYPORT_SERVER": "localhost"})
        assert (done.returncode, "SALLYPORT_SERVER: \"localhost\" is no https" in done.stderr) == (2, True)

    @pytest.mark.parametrize(("mode", "text", "message"), [
        (0o644, "token\n", "must be closed to others"), (0o600, "", "expected a bearer token and nothing else"),
        (0o600, "two words\n", "expected a bearer token and nothing else"),
        (0o600, "a\nHost: x\n", "expected a bearer token and nothing else"), (None, "", "No such file")])
    def test_a_token_that_cannot_be_used(self, run, tmp_path, mode, text, message):
        path = tmp_path / "token"
        if mode is not None:
            path.write_text(text)
            path.chmod(mode)
        done = run("sallyport", "--server", "https://localhost:1", "--token-file", str(path), "status")
        assert (done.returncode, done.stdout) == (1, "")
        assert message in done.stderr

    def test_this_host_is_not_examined_instead(self, run, tmp_path):
        done = run("sallyport", "--server", "https://localhost:1", "doctor")
        assert (done.returncode, done.stdout) == (3, "")
