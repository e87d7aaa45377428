"""Callers with accounts of their own on the shared local cloud, and the ports of its deployment."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from offpeak.aws.connect import Aws
from offpeak.local.cloud import LocalCloud
from tests.e2e.caller import Caller
from tests.e2e.deployment import connect, make_caller


@pytest.fixture(scope="session")
def aws(cloud: LocalCloud) -> Aws:
    """The tables and objects of the shared cloud, past its API: for what a test has to look at or to push."""
    return connect(cloud)


@pytest.fixture(scope="session")
def new_caller(cloud: LocalCloud, aws: Aws) -> Callable[[], Caller]:
    """Makes an account that nobody else uses, so that tests don't see each other's files and batches."""
    numbers = itertools.count(1)
    return lambda: make_caller(cloud, aws, f"e2e-{next(numbers)}")


@pytest.fixture
def caller(new_caller: Callable[[], Caller]) -> Caller:
    return new_caller()
