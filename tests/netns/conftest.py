# SPDX-License-Identifier: Apache-2.0
"""Worlds for the tests, one for each file, and one agent in it."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from lab import Agent, Lab, LabError, OneArmed, Routed, services
from lab.world import WEB


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as made:
        yield made


@pytest.fixture(scope="module")
def world(lab: Lab) -> Routed:
    return Routed(lab)


@pytest.fixture(scope="module")
def one_armed(lab: Lab) -> OneArmed:
    return OneArmed(lab)


@pytest.fixture(scope="module")
def agent(world: Routed) -> Iterator[Agent]:
    """An agent that runs with the world's own configuration for the whole file."""
    with Agent(world.gateway, world.configuration()) as running:
        yield running


@pytest.fixture(scope="module")
def peers(world: Routed) -> Iterator[list[tuple[str, int]]]:
    """By which addresses and ports an echo server outside was spoken to, over UDP and the newest last."""
    with services.echo_server(world.web, WEB, 7, socket.SOCK_DGRAM) as met:
        yield met


@pytest.fixture
def fresh_agent(world: Routed) -> Iterator[Agent]:
    """An agent for one test alone: no flow, all counters zero."""
    with Agent(world.gateway, world.configuration()) as running:
        yield running


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "row(id, ...): rows of tests/conformance/catalogue.tsv that a test proves")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a test proves reaches the report with its result."""
    for item in items:
        for marker in item.iter_markers("row"):
            item.user_properties += [("row", row) for row in marker.args]


def _status_of(agent: Agent) -> str:
    try:
        return agent.run("status", timeout=5).stdout
    except LabError as error:  # an agent that does not answer is what the test failed of
        return str(error)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failing test tells what the agent had to say."""
    outcome: Any = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Agent):
                report.sections.append(("sallyportd", value.log[-4000:]))
                if value.process and value.process.running():
                    report.sections.append(("sallyport status", _status_of(value)))
