"""Signals as stored, and operators' curves: read as they are meant, or refused with the line."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.signal import Signal, SignalKind, SignalPoint, Unit
from offpeak.wire.signals import decode_signals, encode_signals, parse_curve

MIDNIGHT = 1_795_219_200  # 2026-11-21T00:00Z


def parse(text: str, kind: SignalKind = SignalKind.PRICE) -> Signal:
    return parse_curve(text, region="us-east-1", kind=kind, issued_at=7, source="a curve")


def test_a_curve_is_read_in_any_zone_and_step() -> None:
    told = parse(
        "start,factor\n2026-11-21T00:00Z,0.8\n2026-11-21T07:00+01:00,1.2\n\n2026-11-21T07:00Z,1\n"
    )
    assert told.points == (
        SignalPoint(MIDNIGHT, 21_600, 0.8), SignalPoint(MIDNIGHT + 21_600, 3_600, 1.2),
        SignalPoint(MIDNIGHT + 25_200, 3_600, 1.0),
    )  # fmt: skip
    assert (told.unit, told.issued_at, told.source) == (Unit.FACTOR, 7, "a curve")


def test_a_markets_price_is_of_a_megawatt_hour() -> None:
    told = parse("start,USD/MWh\n2026-11-21T00:00Z,-20\n2026-11-21T01:00Z,50\n")
    assert told.unit is Unit.USD_PER_KWH
    assert [point.value for point in told.points] == [-0.02, 0.05]


def test_carbon_has_its_own_unit() -> None:
    text = "\ufeffstart,gCO2eq/kWh\r\n2026-11-21T00:00Z,400\r\n2026-11-21T01:00Z,300\r\n"
    assert parse(text, SignalKind.AVERAGE).unit is Unit.GRAMS_PER_KWH


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("when,factor\n", "Line 1"),
        (
            "start,EUR/MWh\n",
            "Line 1: the heading of a price curve is start,USD/kWh or start,factor",
        ),
        ("start,gCO2eq/kWh\n2026-11-21T00:00Z,1\n2026-11-21T01:00Z,1\n", "Line 1"),
        ("start,factor\n2026-11-21T00:00Z,1\n", "fewer than two"),
        ("start,factor\n2026-11-21T00:00Z,1\n2026-11-21T01:00Z,1,1\n", "Line 3: 3 fields"),
        ("start,factor\nyesterday,1\n2026-11-21T01:00Z,1\n", "Line 2: 'yesterday' is no ISO"),
        ("start,factor\n2026-11-21T00:00,1\n2026-11-21T01:00Z,1\n", "lacks its zone"),
        ("start,factor\n2026-11-21T00:00Z,cheap\n2026-11-21T01:00Z,1\n", "no number"),
        ("start,factor\n2026-11-21T00:00Z,nan\n2026-11-21T01:00Z,1\n", "no number"),
        ("start,factor\n2026-11-21T00:00Z,1\n2026-11-21T00:00Z,1\n", "Line 3: it begins 0 seconds"),
        ("start,factor\n2026-11-21T00:00Z,1\n2026-11-23T00:00Z,1\n", "steps go forward"),
        ("start,factor\n2026-11-21T00:00Z,-1\n2026-11-21T01:00Z,1\n", "are taken"),
        ("start,factor\n" + "2026-11-21T00:00Z,1\n" * 2_001, "2001 steps"),
    ],
)
def test_a_curve_that_is_wrong_is_refused_with_its_line(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(text)


@given(st.text(max_size=200))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    with suppress(ValueError):
        assert parse("start,factor\n" + text).points


CURVE = "start,factor\n2026-11-21T00:00Z,0.8\n2026-11-21T06:00Z,1.2\n"


def test_what_is_stored_is_what_was_told() -> None:
    told, before = parse(CURVE), replace(parse(CURVE), issued_at=1)
    assert decode_signals(encode_signals([told, before])) == (told, before)


def test_one_signal_by_itself_is_read_as_it_was_stored_once() -> None:
    told = parse(CURVE)
    assert decode_signals(msgspec.json.encode(told)) == (told,)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[{}]", encode_signals([parse(CURVE)]).replace(b'"price"', b'"average"')]
)
def test_what_is_no_signal_is_not_read_as_one(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        decode_signals(body)
