# SPDX-License-Identifier: Apache-2.0
"""The API over TCP, spoken to by curl and by Python: who gets in, what web pages may, and what strangers cannot do."""

import hashlib
import http.client
import json
import os
import re
import secrets
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import Agent, Lab, Routed, eventually
from lab.agent import CommandFailed

PORT = 8443
INSIDE = "10.0.1.1"
CONSOLE = "https://console.example.net"
ALICE, CI = secrets.token_urlsafe(32), secrets.token_urlsafe(32)

Answer = tuple[int, dict[str, str], Any]


def _token_line(name: str, token: str) -> str:
    return f"{name}:{hashlib.sha256(token.encode()).hexdigest()}\n"


def _secret(lab: Lab, name: str, text: str, mode: int = 0o600) -> str:
    path = lab.write(name, text)
    os.chmod(path, mode)
    return path


def _certificate(lab: Lab, world: Routed, name: str) -> dict[str, str]:
    """A certificate of the gateway that is its own authority."""
    paths = {"certificate": lab.path(f"{name}.pem"), "key": lab.path(f"{name}.key")}
    world.gateway.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                      "-days", "2", "-subj", f"/CN={name}", "-addext",
                      f"subjectAltName=DNS:gw1.example.net,DNS:localhost,IP:{INSIDE},IP:127.0.0.1",
                      "-keyout", paths["key"], "-out", paths["certificate"])
    os.chmod(paths["key"], 0o600)
    return paths


@pytest.fixture(scope="module")
def tokens(lab: Lab) -> str:
    return _secret(lab, "tokens", "# who may\n" + _token_line("alice", ALICE) + _token_line("ci", CI))


@pytest.fixture(scope="module")
def identity(lab: Lab, world: Routed) -> dict[str, str]:
    return _certificate(lab, world, "gw1")


@pytest.fixture(scope="module")
def api(tokens: str, identity: dict[str, str]) -> dict[str, Any]:
    """The section `api` of a gateway that its private hosts manage."""
    return {"tokens_file": tokens, "tls": identity, "allowed_hosts": ["gw1.example.net"],
            "cors": {"allowed_origins": [CONSOLE, "http://localhost:5173"]}}


@pytest.fixture(scope="module")
def agent(world: Routed, api: dict[str, Any]) -> Iterator[Agent]:
    with Agent(world.gateway, world.configuration(api=api)).start("--api-listen", f"{INSIDE}:{PORT}") as made:
        yield made


@pytest.fixture
def ask(world: Routed, agent: Agent, identity: dict[str, str]) -> Callable[..., Answer]:
    del agent

    def request(method: str, path: str, body: Any = None, *, token: str | None = ALICE, host: str = INSIDE,
                headers: dict[str, str] | None = None) -> Answer:
        return _https(world, identity, method, path, body,
                      {"Host": host, **({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})})
    return request


def _https(world: Routed, identity: dict[str, str], method: str, path: str, body: Any,
           headers: dict[str, str]) -> Answer:
    """From the private host h1, with the certificate verified."""
    context = ssl.create_default_context(cafile=identity["certificate"])
    connection = http.client.HTTPSConnection(INSIDE, PORT, context=context)
    plain = world.h1.socket()
    plain.connect((INSIDE, PORT))
    connection.sock = context.wrap_socket(plain, server_hostname="gw1.example.net")
    return _exchange(connection, method, path, body, headers)


def _exchange(connection: http.client.HTTPConnection, method: str, path: str, body: Any,
              headers: dict[str, str]) -> Answer:
    if body is not None:
        headers = {"Content-Type": "application/json", **headers}
        body = body if isinstance(body, (str, bytes)) else json.dumps(body)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        kind = answer.headers.get("Content-Type", "")
        return (answer.status, {name.lower(): value for name, value in answer.headers.items()},
                json.loads(content) if "json" in kind and content else content)
    finally:
        connection.close()


# Who gets in


def test_curl_from_a_private_host(world: Routed, agent: Agent, identity: dict[str, str]) -> None:
    done = world.h1.run("curl", "--silent", "--show-error", "--fail-with-body", "--cacert", identity["certificate"],
                        "--resolve", f"gw1.example.net:{PORT}:{INSIDE}", "--oauth2-bearer", ALICE,
                        f"https://gw1.example.net:{PORT}/v1/status")
    assert json.loads(done.stdout)["gateway"] == "gw1"
    assert f"https {INSIDE}:{PORT}" in agent.log


def test_the_command_line_from_a_private_host(world: Routed, lab: Lab, agent: Agent, api: dict[str, Any],
                                              identity: dict[str, str]) -> None:
    url, token = f"https://{INSIDE}:{PORT}", _secret(lab, "token", ALICE + "\n")

    def run(*words: str, ca_file: str | None = identity["certificate"], token_file: str | None = token,
            code: int = 0) -> str:
        trust = ["--ca-file", ca_file] if ca_file else []
        identify = ["--token-file", token_file] if token_file else []
        done = world.h1.run(agent.client, "--server", url, *trust, *identify, *words, check=False)
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stderr

    assert json.loads(run("status", "-o", "json"))["gateway"] == "gw1"
    assert run("create", "vpcs", "remote", "cidrs=[10.77.0.0/16]") == "created VPC remote\n"
    assert "token alice" in run("history")
    assert run("delete", "vpcs", "remote") == "deleted VPC remote\n"
    # A file that is applied is that of this host, and comes without what lies beside it.
    path = lab.write("remote.yaml", json.dumps(world.configuration(api=api)))
    run("apply", path)
    assert "not captured over the network" in run("capture", "--count", "1", code=4)

    assert "bearer token" in run("status", token_file=None, code=4)
    assert "token" in run("status", token_file=_secret(lab, "guess", "guess"), code=4)
    assert "--ca-file" in run("status", ca_file=None, code=3)
    assert "--ca-file" in run("status", ca_file=_certificate(lab, world, "stranger")["certificate"], code=3)


def test_the_unix_socket_needs_none_of_it(agent: Agent) -> None:
    assert agent.status()["gateway"] == "gw1"
    status, headers, _ = agent.request("GET", "/v1/status")
    assert status == 200 and "Vary" not in headers


def test_without_a_token_nobody_gets_in(ask: Callable[..., Answer]) -> None:
    for method, path in (("GET", "/v1/status"), ("GET", "/healthz"), ("POST", "/v1/reload"), ("GET", "/nowhere"),
                         ("DELETE", "/v1/vpcs/main"), ("OPTIONS", "/v1/status")):
        status, headers, body = ask(method, path, {} if method == "POST" else None, token=None)
        assert (status, headers["www-authenticate"], body["status"]) == (401, "Bearer", 401), path
        assert headers["content-type"] == "application/problem+json"
    for wrong in ("guess", hashlib.sha256(ALICE.encode()).hexdigest(), ALICE[:-1], ALICE + "x", ALICE.swapcase()):
        status, headers, _ = ask("GET", "/v1/status", token=wrong)
        assert status == 401 and headers["www-authenticate"].startswith("Bearer")


def test_who_asked_stands_in_the_history(agent: Agent, world: Routed, api: dict[str, Any],
                                         ask: Callable[..., Answer]) -> None:
    changed = world.configuration(api=api)
    changed["nat_gateways"][0]["timeouts"] = {"udp": "400s"}
    status, _, body = ask("POST", "/v1/apply", {"document": json.dumps(changed), "name": "new"}, token=CI)
    assert status == 200 and body["changes"], body
    newest = agent.json("history")["revisions"][0]
    assert newest["revision"] == body["revision"] and "ci" in newest["actor"]
    status, headers, _ = ask("POST", "/v1/reload", {})
    assert status == 200
    assert "alice" in agent.json("history")["revisions"][0]["actor"]
    assert headers["sallyport-revision"] == str(agent.json("history")["revisions"][0]["revision"])


def test_a_token_is_made_as_the_manual_says(world: Routed, agent: Agent, tokens: str,
                                            ask: Callable[..., Answer]) -> None:
    manual = (Path(__file__).parents[2] / "docs/api.md").read_text(encoding="utf-8")
    lines = re.search(r"    token=.*\n    printf .*>> /etc/sallyport/tokens\n    sallyport reload; echo.*", manual)
    assert lines
    before = Path(tokens).read_text(encoding="utf-8")
    script = lines[0].replace("/etc/sallyport/tokens", tokens).replace(
        "sallyport reload", f"{agent.client} --socket {agent.api_socket} reload >/dev/null")
    try:
        token = world.gateway.run("sh", "-ec", script).stdout.strip()
        assert len(token) >= 40 and ask("GET", "/v1/version", token=token)[0] == 200
    finally:
        Path(tokens).write_text(before, encoding="utf-8")
        agent.reload()


# Names


def test_only_names_of_the_gateway_are_served(ask: Callable[..., Answer]) -> None:
    for host in (INSIDE, f"{INSIDE}:{PORT}", "localhost", "gw1.example.net", "GW1.EXAMPLE.NET:443", "127.0.0.1"):
        assert ask("GET", "/v1/version", host=host)[0] == 200, host
    for host in ("evil.example", "gw1.example.net.evil.example", "10.0.1.11", "198.51.100.1", f"evil.example:{PORT}"):
        for method in ("GET", "POST", "OPTIONS"):
            status, headers, body = ask(method, "/v1/reload", host=host)
            assert (status, headers["content-type"]) == (421, "application/problem+json"), host
            assert "allowed_hosts" in body["detail"]
    for host in ("", "a b", "[::1", "gw1.example.net:port"):
        assert ask("GET", "/v1/version", host=host)[0] == 400, host


# Web pages


def test_a_preflight_needs_no_token(ask: Callable[..., Answer]) -> None:
    for path, methods in (("/v1/apply", {"POST"}), ("/v1/status", {"GET", "HEAD"})):
        status, headers, body = ask("OPTIONS", path, token=None, headers={
            "Origin": CONSOLE, "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type"})
        assert (status, body) == (204, b"")
        assert headers["access-control-allow-origin"] == CONSOLE
        assert set(headers["access-control-allow-methods"].split(", ")) == methods
        assert {name.strip().lower() for name in headers["access-control-allow-headers"].split(",")} == {
            "authorization", "content-type", "idempotency-key", "if-match", "if-none-match"}
        assert int(headers["access-control-max-age"]) > 0
        assert headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in headers
        assert "access-control-allow-private-network" not in headers


def test_a_preflight_for_a_private_network(ask: Callable[..., Answer]) -> None:
    _, headers, _ = ask("OPTIONS", "/v1/apply", token=None, headers={
        "Origin": CONSOLE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Private-Network": "true"})
    assert headers["access-control-allow-private-network"] == "true"


def test_an_allowed_page_reads_answers_and_errors(ask: Callable[..., Answer]) -> None:
    for path, token, expected in (("/v1/status", ALICE, 200), ("/v1/status", None, 401), ("/v1/nothing/x", ALICE, 404)):
        status, headers, _ = ask("GET", path, token=token, headers={"Origin": CONSOLE})
        assert (status, headers["access-control-allow-origin"], headers["vary"]) == (expected, CONSOLE, "Origin")
        assert {"Sallyport-Revision", "ETag", "Location", "Idempotency-Replayed"} <= set(
            headers["access-control-expose-headers"].split(", "))
    assert ask("POST", "/v1/reload", {}, headers={"Origin": CONSOLE})[0] == 200


def test_another_page_reads_and_changes_nothing(agent: Agent, ask: Callable[..., Answer]) -> None:
    revision = agent.json("history")["revisions"][0]["revision"]
    for origin in ("https://evil.example", "null", "http://console.example.net", CONSOLE + ".evil.example",
                   CONSOLE + ":8443", "*"):
        status, headers, _ = ask("GET", "/v1/status", headers={"Origin": origin})
        assert status == 200 and headers["vary"] == "Origin"
        assert not [name for name in headers if name.startswith("access-control-")], origin
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            status, headers, _ = ask(method, "/v1/reload", {}, headers={"Origin": origin})
            assert status == 403 and not [name for name in headers if name.startswith("access-control-")], origin
        status, headers, _ = ask("OPTIONS", "/v1/reload", token=None, headers={
            "Origin": origin, "Access-Control-Request-Method": "POST"})
        assert status == 403 and not [name for name in headers if name.startswith("access-control-")], origin
    assert agent.json("history")["revisions"][0]["revision"] == revision


def test_answers_without_an_origin_vary_too(ask: Callable[..., Answer]) -> None:
    for token in (ALICE, None):
        _, headers, _ = ask("GET", "/v1/status", token=token)
        assert headers["vary"] == "Origin"
        assert not [name for name in headers if name.startswith("access-control-")]


# TLS


def test_only_tls_of_today(world: Routed, agent: Agent, identity: dict[str, str]) -> None:
    versions = {}
    for option in ("--tls-max=1.1", "--tls-max=1.2", "--tlsv1.3"):
        done = world.h1.run("curl", "--silent", "--cacert", identity["certificate"], "--oauth2-bearer", ALICE,
                            *option.split("="), f"https://{INSIDE}:{PORT}/v1/version", check=False)
        versions[option] = done.returncode
    assert versions["--tls-max=1.1"] != 0 and versions["--tls-max=1.2"] == versions["--tlsv1.3"] == 0
    plain = http.client.HTTPConnection(INSIDE, PORT)
    plain.sock = world.h1.socket()
    plain.sock.connect((INSIDE, PORT))
    with pytest.raises((http.client.HTTPException, OSError)):
        _exchange(plain, "GET", "/v1/version", None, {"Authorization": f"Bearer {ALICE}"})
    assert agent.status()


# Reload


def test_a_reload_takes_a_token_away_and_leaves_connections(world: Routed, lab: Lab, agent: Agent, tokens: str,
                                                            identity: dict[str, str]) -> None:
    del lab
    context = ssl.create_default_context(cafile=identity["certificate"])
    plain = world.h1.socket()
    plain.connect((INSIDE, PORT))
    connection = http.client.HTTPSConnection(INSIDE, PORT, context=context)
    connection.sock = context.wrap_socket(plain, server_hostname=INSIDE)

    def status(token: str) -> int:
        connection.request("GET", "/v1/version", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    with open(tokens, encoding="utf-8") as file:
        before = file.read()
    assert status(CI) == 200
    try:
        with open(tokens, "w", encoding="utf-8") as file:
            file.write(_token_line("alice", ALICE))
        assert status(CI) == 200  # a file alone says nothing
        agent.reload()
        assert (status(CI), status(ALICE)) == (401, 200)  # on the connection that was there
    finally:
        with open(tokens, "w", encoding="utf-8") as file:
            file.write(before)
        agent.reload()
    assert status(CI) == 200
    connection.close()


def test_a_reload_with_faults_changes_nothing(world: Routed, agent: Agent, api: dict[str, Any], tokens: str,
                                              ask: Callable[..., Answer]) -> None:
    good = world.configuration(api=api)
    os.chmod(tokens, 0o644)
    try:
        with pytest.raises(CommandFailed) as failed:
            agent.reload(world.configuration(api={**api, "cors": {"allowed_origins": []}}))
        assert "chmod" in failed.value.stdout + failed.value.stderr
        assert ask("GET", "/v1/status", headers={"Origin": CONSOLE})[1]["access-control-allow-origin"] == CONSOLE
    finally:
        os.chmod(tokens, 0o600)
    for wrong, named in (({**api, "tokens_file": "/nowhere"}, "/nowhere"),
                         ({**api, "tls": {**api["tls"], "key": tokens}}, "serve TLS"),
                         ({key: value for key, value in api.items() if key != "tls"}, "tls_terminated_elsewhere")):
        with pytest.raises(CommandFailed) as failed:
            agent.reload(world.configuration(api=wrong))
        assert named in failed.value.stdout + failed.value.stderr
        assert ask("GET", "/v1/status")[0] == 200
    agent.reload(good)


def test_apply_does_not_touch_how_the_api_is_reached(world: Routed, agent: Agent, api: dict[str, Any], lab: Lab,
                                                     ask: Callable[..., Answer]) -> None:
    other = world.configuration(api={"insecure_loopback": True})
    path = lab.write("other.yaml", json.dumps(other))
    assert "api" in " ".join(agent.json("apply", path)["warnings"])
    assert ask("GET", "/v1/status")[0] == 200
    agent.reload(world.configuration(api=api))


def test_a_new_certificate_is_served_and_nobody_is_cut_off(world: Routed, lab: Lab, agent: Agent,
                                                           api: dict[str, Any], identity: dict[str, str],
                                                           ask: Callable[..., Answer]) -> None:
    old = ssl.create_default_context(cafile=identity["certificate"])
    plain = world.h1.socket()
    plain.connect((INSIDE, PORT))
    waiting = http.client.HTTPSConnection(INSIDE, PORT, context=old)
    waiting.sock = old.wrap_socket(plain, server_hostname=INSIDE)
    waiting.request("GET", "/v1/drops?wait=2", headers={"Authorization": f"Bearer {ALICE}"})
    time.sleep(0.2)  # the request is under way

    renewed = _certificate(lab, world, "gw1-renewed")
    agent.reload(world.configuration(api={**api, "tls": renewed}))

    def served() -> bool:
        try:
            return _https(world, renewed, "GET", "/v1/version", None,
                          {"Authorization": f"Bearer {ALICE}", "Host": INSIDE})[0] == 200
        except ssl.SSLError:
            return False
    eventually(served, 5, 0.1, "the new certificate is served")
    answer = waiting.getresponse()
    assert answer.status == 200 and "events" in json.loads(answer.read())
    waiting.close()
    # Asked for by a client of the listener that goes.
    agent.configure(world.configuration(api=api))
    status, _, _ = _https(world, renewed, "POST", "/v1/reload", {},
                          {"Authorization": f"Bearer {ALICE}", "Host": INSIDE})
    assert status == 200
    eventually(lambda: _succeeds(lambda: ask("GET", "/v1/version")[0] == 200), 5, 0.1, "the old one is back")


def _succeeds(attempt: Callable[[], bool]) -> bool:
    try:
        return attempt()
    except ssl.SSLError:
        return False


# The start


@pytest.fixture
def stopped(world: Routed, agent: Agent, api: dict[str, Any]) -> Iterator[Agent]:
    """The agent, to be started in another way."""
    agent.stop()
    yield agent
    assert agent.process
    if agent.process.running():
        agent.stop()
    agent.configure(world.configuration(api=api))
    agent.start("--api-listen", f"{INSIDE}:{PORT}")


def test_what_is_wrong_with_it_keeps_the_agent_from_starting(world: Routed, lab: Lab, stopped: Agent,
                                                             api: dict[str, Any], tokens: str) -> None:
    open_to_all = _secret(lab, "open", _token_line("alice", ALICE), 0o644)
    for section, listen, complaint in (
            ({}, f"{INSIDE}:{PORT}", "api.tokens_file"),
            ({"insecure_loopback": True}, f"{INSIDE}:{PORT}", "api.tokens_file"),
            ({"tokens_file": tokens}, f"{INSIDE}:{PORT}", "api.tls"),
            ({}, f"127.0.0.1:{PORT}", "api.tokens_file"),
            ({**api, "tokens_file": open_to_all}, f"{INSIDE}:{PORT}", "chmod 0640"),
            ({**api, "tls": {**api["tls"], "key": open_to_all}}, f"{INSIDE}:{PORT}", "chmod 0640"),
            (api, "192.0.2.1:80", "192.0.2.1:80")):
        stopped.configure(world.configuration(api=section))
        assert stopped.launch("--api-listen", listen).wait(20) == 1, section
        assert complaint in stopped.log
    assert stopped.launch("--api-listen", "8443").wait(20) == 2


def test_no_listener_unless_asked_for(world: Routed, stopped: Agent) -> None:
    stopped.configure(world.configuration())
    stopped.start()
    listening = world.gateway.run("ss", "-Htln").stdout
    assert re.findall(r":(\d+)\s+0\.0\.0\.0:\*", listening) == ["9710"], listening


# Loopback


@pytest.fixture
def on_loopback(world: Routed, stopped: Agent, tokens: str) -> Agent:
    """The file asks for the listener; without a token on loopback, and no TLS."""
    stopped.configure(world.configuration(api={"listen": "127.0.0.1:9711", "insecure_loopback": True,
                                               "tokens_file": tokens}))
    return stopped.start()


def _loopback(world: Routed, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None,
              port: int = 9711) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.sock = world.gateway.socket()
    connection.sock.connect(("127.0.0.1", port))
    return _exchange(connection, method, path, body, headers or {})


def test_insecure_loopback(world: Routed, on_loopback: Agent) -> None:
    assert _loopback(world, "GET", "/v1/status")[0] == 200
    assert _loopback(world, "GET", "/v1/status", {"Authorization": f"Bearer {ALICE}"})[0] == 200
    assert _loopback(world, "GET", "/v1/status", {"Authorization": "Bearer guess"})[0] == 401
    assert _loopback(world, "GET", "/v1/status", {"Host": "rebound.example:9711"})[0] == 421
    # A form that another page sends needs no preflight, but says where it comes from.
    assert _loopback(world, "POST", "/v1/detach", {"Origin": "https://evil.example", "Content-Type": "text/plain"},
                     "{}")[0] == 403
    assert _loopback(world, "POST", "/v1/reload", body={})[0] == 200
    with pytest.raises(OSError):
        world.h1.socket(timeout=2).connect((INSIDE, 9711))

    # The file moves the listener, and takes it away.
    on_loopback.reload(world.configuration(api={"listen": "127.0.0.1:9712", "insecure_loopback": True}))
    eventually(lambda: _loopback(world, "GET", "/v1/status", port=9712)[0] == 200, 5)
    eventually(lambda: _refuses(world, 9711), 5, 0.1, "nobody listens at the old address")
    on_loopback.reload(world.configuration())
    eventually(lambda: _refuses(world, 9712), 5, 0.1, "nobody listens any more")
    on_loopback.hang_up()
    on_loopback.await_notification("READY=1")
    assert on_loopback.status()


def _refuses(world: Routed, port: int) -> bool:
    try:
        with world.gateway.socket(timeout=2) as probe:
            probe.connect(("127.0.0.1", port))
    except ConnectionRefusedError:
        return True
    return False
