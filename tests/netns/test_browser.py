# SPDX-License-Identifier: Apache-2.0
"""The API as a real browser sees it: what pages of allowed origins can do, and what others cannot. Slow.

Every check of something that must fail stands beside the same steps from where they succeed, so that none of them
passes because a page is broken.
"""

import base64
import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab import Agent, Capture, Lab, Routed
from lab.browser import IDLE_TIME, Answers, Browser, Site, Step
from lab.world import EIP2, H2

INSIDE = "10.0.1.1"
API = "https://gw1.example.net:8443"
SITE_PORT = 8000
# Of one site, so that a browser keeps their caches together.
CONSOLE, OTHER = (f"http://{name}.example.net:{SITE_PORT}" for name in ("console", "other"))
HOME = f"http://home.example.net:{SITE_PORT}"
NAMES = ("console.example.net", "other.example.net", "home.example.net")
TOKEN = secrets.token_urlsafe(32)
BEARER = {"Authorization": f"Bearer {TOKEN}"}
TYPE_ERROR = "TypeError"  # all that fetch() tells of an answer that a page may not read

Section = dict[str, Any]


@pytest.fixture(scope="module")
def tokens(lab: Lab) -> str:
    path = lab.write("tokens", f"console:{hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
    os.chmod(path, 0o600)
    return path


@pytest.fixture(scope="module")
def identity(lab: Lab, world: Routed) -> dict[str, str]:
    paths = {"certificate": lab.path("gw1.pem"), "key": lab.path("gw1.key")}
    world.gateway.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                      "-days", "2", "-subj", "/CN=gw1", "-addext", "subjectAltName=DNS:gw1.example.net",
                      "-keyout", paths["key"], "-out", paths["certificate"])
    os.chmod(paths["key"], 0o600)
    return paths


@pytest.fixture(scope="module")
def trusted_key(world: Routed, identity: dict[str, str]) -> str:
    pem = world.gateway.run("openssl", "x509", "-in", identity["certificate"], "-noout", "-pubkey").stdout
    return base64.b64encode(hashlib.sha256(base64.b64decode("".join(pem.split("\n")[1:-2]))).digest()).decode()


# Between two hosts behind the gateway: the page comes from one of them, and the browser runs on the other.


@pytest.fixture(scope="module")
def section(tokens: str, identity: dict[str, str]) -> Section:
    return {"listen": f"{INSIDE}:8443", "tokens_file": tokens, "tls": identity, "allowed_hosts": ["gw1.example.net"],
            "cors": {"allowed_origins": [CONSOLE]}}


@pytest.fixture(scope="module")
def agent(world: Routed, section: Section) -> Iterator[Agent]:
    with Agent(world.gateway, world.configuration(api=section)) as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_is_left(agent: Agent) -> Iterator[None]:
    yield
    for name in ("made", "kept"):
        agent.run("delete", "elastic_ips", name)


def _make_kept(agent: Agent) -> None:
    """An object that any page would change and delete."""
    if agent.run("get", "elastic_ips", "kept").returncode != 0:
        agent.text("create", "elastic_ips", "kept", "address=198.51.100.20")


def _state(agent: Agent) -> tuple[int, Any]:
    return agent.json("history")["revisions"][0]["revision"], agent.json("get", "elastic_ips")


@pytest.fixture
def hooks(world: Routed, agent: Agent, section: Section) -> Iterator[dict[str, Callable[[], object]]]:
    def reload(**changes: Any) -> None:
        agent.reload(world.configuration(api={**section, **changes}))
    yield {"cors_off": lambda: reload(cors={"allowed_origins": []}), "cors_on": reload}
    reload()


@pytest.fixture
def browser(world: Routed, trusted_key: str, hooks: dict[str, Callable[[], object]]) -> Iterator[Browser]:
    names = {**{name: H2 for name in NAMES}, "gw1.example.net": INSIDE}
    with Site(world.h2, H2, SITE_PORT, hooks) as site, \
            Browser(world.h1, site, HOME, names, trusted_key=trusted_key) as made:
        yield made


def _steps(api: str, bearer: dict[str, str]) -> list[tuple[Step, int]]:
    """Everything that a console does, with what comes of it for a page that may."""
    key = secrets.token_hex(8)
    made, kept = f"{api}/v1/elastic_ips/made", f"{api}/v1/elastic_ips/kept"
    body = {"name": "made", "address": EIP2}

    def step(name: str, method: str, url: str, body: Any = None, **headers: str) -> Step:
        return Step(name, method, url, body, headers={**bearer, **{k.replace("_", "-"): v for k, v in headers.items()}})

    return [
        (step("read", "GET", f"{api}/v1/status"), 200),
        (step("list", "GET", f"{api}/v1/elastic_ips"), 200),
        (step("page", "GET", f"{api}/v1/history?limit=1"), 200),
        (step("nothing_new", "GET", f"{api}/v1/status?after_revision=<read.sallyport-revision>&wait=1"), 304),
        (step("none", "GET", f"{api}/v1/elastic_ips/none"), 404),
        (step("wrong", "POST", f"{api}/v1/elastic_ips", {"name": "made", "address": "here"}), 400),
        (step("create", "POST", f"{api}/v1/elastic_ips", body, Idempotency_Key=key), 201),
        (step("again", "POST", f"{api}/v1/elastic_ips", body, Idempotency_Key=key), 201),
        (step("other", "POST", f"{api}/v1/elastic_ips", {**body, "name": "x"}, Idempotency_Key=key), 422),
        (step("taken", "POST", f"{api}/v1/elastic_ips", body), 409),
        (step("same", "GET", made, If_None_Match="<create.etag>"), 304),
        (step("replace", "PUT", made, {"address": "198.51.100.21"}, If_Match="<create.etag>"), 200),
        (step("stale", "PATCH", made, {"address": EIP2}, If_Match="<create.etag>"), 412),
        (step("patch", "PATCH", made, {"address": EIP2}, If_Match="<replace.etag>",
              Content_Type="application/merge-patch+json"), 200),
        (step("delete", "DELETE", made, If_Match="<patch.etag>"), 204),
        (step("of_file", "DELETE", f"{api}/v1/elastic_ips/eip-1"), 409),
        # Without conditions, which a page that cannot read would not know how to fulfil.
        (step("put_kept", "PUT", kept, {"address": "198.51.100.21"}), 200),
        (step("patch_kept", "PATCH", kept, {"address": "198.51.100.22"}), 200),
        (step("delete_kept", "DELETE", kept), 204),
        (step("again_kept", "DELETE", kept), 404),
    ]


def _visit(browser: Browser, origin: str, expected: list[tuple[Step, int]], *first: Step) -> Answers:
    answers = browser.visit(origin, [*first, *(step for step, _ in expected)])
    for step in first:
        assert answers.pop(step.name).outcome == 200, step
    return answers


def _outcomes(answers: Answers) -> dict[str, int | str]:
    return {name: answer.outcome for name, answer in answers.items()}


def _may(browser: Browser, agent: Agent, origin: str, expected: list[tuple[Step, int]], *first: Step) -> Answers:
    _make_kept(agent)
    answers = _visit(browser, origin, expected, *first)
    assert _outcomes(answers) == {step.name: status for step, status in expected}
    return answers


def _may_not(browser: Browser, agent: Agent, origin: str, expected: list[tuple[Step, int]], *first: Step) -> None:
    _make_kept(agent)
    before = _state(agent)
    answers = _visit(browser, origin, expected, *first)
    assert _outcomes(answers) == {step.name: TYPE_ERROR for step, _ in expected}
    assert _state(agent) == before


def _hook(name: str, origin: str) -> Step:
    return Step(name, "GET", f"{origin}/hook/{name}")


def test_an_allowed_page_can_do_everything(browser: Browser, agent: Agent) -> None:
    answers = _may(browser, agent, CONSOLE, _steps(API, BEARER))
    assert answers["read"].json["gateway"] == "gw1"
    assert "eip-1" in {eip["name"] for eip in answers["list"].json["elastic_ips"]}
    revision = int(answers["read"]["headers"]["sallyport-revision"])
    assert answers["nothing_new"]["headers"]["sallyport-revision"] == str(revision)
    assert int(answers["create"]["headers"]["sallyport-revision"]) == revision + 1
    assert 'rel="next"' in answers["page"]["headers"]["link"]
    assert answers["create"]["headers"]["location"] == "/v1/elastic_ips/made"
    assert answers["create"].json["address"] == EIP2
    assert answers["again"]["headers"]["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in answers["create"]["headers"]
    tags = [answers[name]["headers"]["etag"] for name in ("create", "replace", "patch")]
    assert tags[0] == tags[2] != tags[1]
    assert answers["replace"].json["address"] == "198.51.100.21" and answers["patch"].json["address"] == EIP2
    for name in ("none", "wrong", "other", "taken", "stale", "of_file"):
        assert answers[name]["headers"]["content-type"] == "application/problem+json"
        assert answers[name].json["status"] == answers[name]["status"] and answers[name].json["detail"]
    assert answers["wrong"].json["faults"][0]["pointer"] == "/address"
    assert all(answer["type"] == "cors" for answer in answers.values())
    assert "token console" in agent.json("history")["revisions"][0]["actor"]


def test_an_allowed_page_is_told_that_its_token_is_wrong(browser: Browser) -> None:
    url = f"{API}/v1/status"
    answers = browser.visit(CONSOLE, [Step("none", "GET", url), Step("wrong", "GET", url, headers={
        "Authorization": "Bearer guess"}), Step("right", "GET", url, headers=BEARER)])
    assert _outcomes(answers) == {"none": 401, "wrong": 401, "right": 200}
    assert "token" in answers["none"].json["detail"]


def test_what_no_page_may(browser: Browser) -> None:
    """Cookies, and headers that the API does not know."""
    url = f"{API}/v1/status"
    answers = browser.visit(CONSOLE, [
        Step("plain", "GET", url, headers=BEARER),
        Step("credentials", "GET", url, headers=BEARER, credentials="include"),
        Step("header", "GET", url, headers={**BEARER, "X-Other": "1"}),
        Step("method", "POST", url, headers=BEARER)])
    assert _outcomes(answers) == {"plain": 200, "credentials": TYPE_ERROR, "header": TYPE_ERROR, "method": 405}


@pytest.mark.parametrize("console_first", [True, False], ids=["console first", "other first"])
def test_another_page_can_do_nothing(browser: Browser, agent: Agent, console_first: bool) -> None:
    """In one browser: neither gets anything out of what the other has in the caches."""
    steps = _steps(API, BEARER)
    if console_first:
        _may(browser, agent, CONSOLE, steps)
    _may_not(browser, agent, OTHER, _steps(API, BEARER))
    if not console_first:
        _may(browser, agent, CONSOLE, steps)
        _may_not(browser, agent, OTHER, _steps(API, BEARER))


def test_without_cors_no_page_can_do_anything(browser: Browser, agent: Agent) -> None:
    """Nor after it is turned off, with preflights that the browser still remembers."""
    _may_not(browser, agent, CONSOLE, _steps(API, BEARER), _hook("cors_off", CONSOLE))
    _may(browser, agent, CONSOLE, _steps(API, BEARER), _hook("cors_on", CONSOLE))
    _may_not(browser, agent, CONSOLE, _steps(API, BEARER), _hook("cors_off", CONSOLE))
    _may(browser, agent, CONSOLE, _steps(API, BEARER), _hook("cors_on", CONSOLE))


# On the gateway itself, where no token is needed and nothing but the browser and the agent stand between a page and
# the gateway.

LOOPBACK = "http://127.0.0.1:9711"
REBOUND = "http://evil.test:9711"  # of the port of the API: to the browser both are the same origin


@pytest.fixture(scope="module")
def open_section(tokens: str) -> Section:
    return {"listen": "127.0.0.1:9711", "insecure_loopback": True, "tokens_file": tokens,
            "cors": {"allowed_origins": [CONSOLE]}}


@pytest.fixture
def open_agent(world: Routed, agent: Agent, section: Section, open_section: Section) -> Iterator[Agent]:
    agent.reload(world.configuration(api=open_section))
    yield agent
    agent.reload(world.configuration(api=section))


@pytest.fixture
def local_site(world: Routed) -> Iterator[Site]:
    with Site(world.gateway, "127.0.0.1", SITE_PORT) as made:
        yield made


@pytest.fixture
def local_browser(world: Routed, local_site: Site) -> Iterator[Browser]:
    names = {**{name: "127.0.0.1" for name in NAMES}, "evil.test": "127.0.0.2"}
    with Browser(world.gateway, local_site, HOME, names) as made:
        yield made


def test_another_page_can_do_nothing_without_a_token_either(local_browser: Browser, open_agent: Agent) -> None:
    _may_not(local_browser, open_agent, OTHER, _steps(LOOPBACK, {}))
    _may(local_browser, open_agent, CONSOLE, _steps(LOOPBACK, {}))
    _may_not(local_browser, open_agent, OTHER, _steps(LOOPBACK, {}))


def _attached(agent: Agent) -> set[bool]:
    return {device["attached"] for device in agent.status()["devices"]}


def test_what_a_browser_sends_without_asking_is_refused(local_browser: Browser, open_agent: Agent) -> None:
    """A request that needs no preflight reaches the agent from any page; its answer is hidden from the script."""
    steps = [Step("detach", "POST", f"{LOOPBACK}/v1/detach", mode="no-cors")]
    answers = local_browser.visit(OTHER, steps)
    assert answers["detach"]["type"] == "opaque" and _attached(open_agent) == {True}
    answers = local_browser.visit(CONSOLE, steps)
    assert answers["detach"]["type"] == "opaque" and _attached(open_agent) == {False}
    open_agent.reload()
    assert _attached(open_agent) == {True}


def _origins(capture: Capture, method: str) -> list[str]:
    """Whose pages made the requests with this method that have come by, in order."""
    capture.settle()
    heads = [frame.partition(method.encode() + b" /v1/") for frame in capture.frames]
    return [origin[1].decode() for _, found, head in heads
            if found and (origin := re.search(rb"\r\nOrigin: (\S+)\r\n", head))]


@pytest.mark.parametrize("first, second", [(CONSOLE, OTHER), (OTHER, CONSOLE)], ids=["console first", "other first"])
def test_no_answer_is_kept_for_another_page(world: Routed, local_browser: Browser, open_agent: Agent, first: str,
                                            second: str) -> None:
    """The answer to one would be useless, or too much, for the other. Nothing is asked for beforehand here."""
    del open_agent
    steps = [Step(name, "GET", f"{LOOPBACK}/v1/vpcs", cache=cache)
             for name, cache in (("new", "reload"), ("old", "force-cache"))]
    with Capture(world.gateway, "lo", raw=True) as capture:
        for origin in (first, second, first):
            # The second page begins with what the first may have left.
            answers = local_browser.visit(origin, steps if origin == first else steps[::-1])
            expected = 200 if origin == CONSOLE else TYPE_ERROR
            assert _outcomes(answers) == {"new": expected, "old": expected}
        assert _origins(capture, "GET") == 2 * [first] + 2 * [second] + 2 * [first]
        assert not _origins(capture, "OPTIONS")


def test_a_preflight_is_remembered_for_its_own_page(world: Routed, local_browser: Browser,
                                                    open_agent: Agent) -> None:
    _make_kept(open_agent)
    steps = [Step(name, "PATCH", f"{LOOPBACK}/v1/elastic_ips/kept", {"address": address})
             for name, address in (("one", "198.51.100.23"), ("two", "198.51.100.24"))]
    with Capture(world.gateway, "lo", raw=True) as capture:
        assert _outcomes(local_browser.visit(CONSOLE, steps)) == {"one": 200, "two": 200}
        before = _state(open_agent)
        assert _outcomes(local_browser.visit(OTHER, steps)) == {"one": TYPE_ERROR, "two": TYPE_ERROR}
        assert _state(open_agent) == before
        assert _outcomes(local_browser.visit(CONSOLE, steps)) == {"one": 200, "two": 200}
        assert _origins(capture, "OPTIONS") == [CONSOLE, OTHER, OTHER]  # a refusal is not remembered
        assert _origins(capture, "PATCH") == 4 * [CONSOLE]


@pytest.fixture
def rebound(world: Routed) -> Iterator[Callable[[], object]]:
    """From its call on, the name of the page leads to the API."""
    def turn() -> None:
        world.gateway.run("nft", "-f", "-", input="""
            add table ip rebinding
            add chain ip rebinding output { type nat hook output priority -100; }
            add rule ip rebinding output ip daddr 127.0.0.2 tcp dport 9711 dnat to 127.0.0.1
            """)
        time.sleep(2 * IDLE_TIME)  # connections to where the page came from are closed by then
    yield turn
    world.gateway.run("nft", "delete", "table", "ip", "rebinding", check=False)


@pytest.mark.parametrize("allowed", [False, True], ids=["name of a stranger", "name of the gateway"])
def test_a_page_whose_name_is_made_to_lead_to_the_api(world: Routed, local_browser: Browser, open_agent: Agent,
                                                      open_section: Section, rebound: Callable[[], object],
                                                      allowed: bool) -> None:
    """DNS rebinding: to the browser the API is the page's own server, so that it asks nobody and hides nothing."""
    if allowed:
        open_agent.reload(world.configuration(api={**open_section, "allowed_hosts": ["evil.test"],
                                                   "cors": {"allowed_origins": [REBOUND]}}))
    steps = [Step("turn", "GET", "/hook/turn"), Step("read", "GET", "/v1/status"),
             Step("create", "POST", "/v1/elastic_ips", {"name": "made", "address": EIP2}),
             Step("delete", "DELETE", "/v1/elastic_ips/made"), Step("detach", "POST", "/v1/detach")]
    before = _state(open_agent)
    with Site(world.gateway, "127.0.0.2", 9711, {"turn": rebound}) as trap:
        answers = local_browser.visit(REBOUND, steps, site=trap)
    assert answers.pop("turn").outcome == 200
    assert all(answer["type"] == "basic" for answer in answers.values())
    if allowed:
        assert _outcomes(answers) == {"read": 200, "create": 201, "delete": 204, "detach": 200}
        assert _attached(open_agent) == {False}
        return
    assert _outcomes(answers) == {"read": 421, "create": 421, "delete": 421, "detach": 421}
    assert "allowed_hosts" in answers["read"].json["detail"]
    assert _state(open_agent) == before and _attached(open_agent) == {True}
