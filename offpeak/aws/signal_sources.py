"""Services that tell of grids: Electricity Maps (averages) and WattTime (marginals), over HTTPS.

Both have Python packages, and neither fits a Lambda: `electricitymaps` 0.0.1 is a beta that installs a top-level
package `openapi`, `watttime` 1.4 brings pandas and writes its password into the environment. All that is needed of
either is a GET.
Hosts are fixed here; keys come from Secrets Manager, go into headers, and into no message and no log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, TypeVar

import msgspec
import urllib3

from offpeak.core.errors import Unavailable
from offpeak.core.grid import GRIDS
from offpeak.core.signal import Signal, SignalKind, SignalPoint, Unit

ELECTRICITY_MAPS_URL = "https://api.electricitymaps.com"
WATTTIME_URL = "https://api.watttime.org"
HORIZON_HOURS = 48
ANSWER_BYTES_MAX = 2_000_000
CONNECT_SECONDS, READ_SECONDS = 5.0, 20.0
GRAMS_A_POUND = 453.59237
_HOUR = 3_600
T = TypeVar("T")


class _EmPoint(msgspec.Struct):
    carbonIntensity: float  # noqa: N815 - theirs
    datetime: datetime


class _EmForecast(msgspec.Struct):
    zone: str
    forecast: list[_EmPoint]
    updatedAt: datetime | None = None  # noqa: N815 - theirs


class _WtLogin(msgspec.Struct):
    token: str


class _WtRegion(msgspec.Struct):
    region: str


class _WtMeta(msgspec.Struct):
    region: str
    signal_type: str
    units: str
    generated_at: datetime | None = None


class _WtPoint(msgspec.Struct):
    point_time: datetime
    value: float


class _WtForecast(msgspec.Struct):
    data: list[_WtPoint]
    meta: _WtMeta


class _WtSecret(msgspec.Struct):
    username: str
    password: str


class ElectricityMaps:
    """Its forecast of the average kWh's life-cycle emissions: GET /v3/carbon-intensity/forecast, by AWS region.

    https://portal.electricitymaps.com/developer-hub/api/reference
    """

    name = "electricity-maps"

    def __init__(self, token: Callable[[], str], *, url: str = ELECTRICITY_MAPS_URL) -> None:
        self._token = token
        self._http = _Https(url, "Electricity Maps")

    def fetch(self, region: str, now: float) -> Sequence[Signal]:
        query = {
            "dataCenterProvider": "aws", "dataCenterRegion": region,
            "horizonHours": str(HORIZON_HOURS), "emissionFactorType": "lifecycle",
        }  # fmt: skip
        told = self._http.get(
            "/v3/carbon-intensity/forecast", query, {"auth-token": self._token()}, _EmForecast
        )
        if told is None or not told.forecast:
            return ()
        points = _points([(each.datetime, each.carbonIntensity) for each in told.forecast])
        signal = Signal(
            region=region, kind=SignalKind.AVERAGE, unit=Unit.GRAMS_PER_KWH, points=points,
            issued_at=_epoch(told.updatedAt, now), source=f"Electricity Maps, {told.zone[:40]}, life cycle",
        )  # fmt: skip
        return (signal,)


class WattTime:
    """Its forecast of marginal emissions, `co2_moer`: GET /login, /v3/region-from-loc, /v3/forecast. The secret is
    JSON, `username` and `password`. CO2 alone, at the chimney; pounds of a MWh become grams of a kWh.

    https://docs.watttime.org
    """

    name = "watttime"
    signal_type = "co2_moer"

    def __init__(self, secret: Callable[[], str], *, url: str = WATTTIME_URL) -> None:
        self._secret = secret
        self._http = _Https(url, "WattTime")
        self._regions: dict[str, str | None] = {}

    def fetch(self, region: str, now: float) -> Sequence[Signal]:
        if region not in GRIDS:
            return ()
        headers = {"Authorization": f"Bearer {self._login()}"}
        if region not in self._regions:
            self._regions[region] = self._region_of(region, headers)
        theirs = self._regions[region]
        if theirs is None:
            return ()
        query = {
            "region": theirs, "signal_type": self.signal_type, "horizon_hours": str(HORIZON_HOURS),
        }  # fmt: skip
        told = self._http.get("/v3/forecast", query, headers, _WtForecast)
        if told is None or not told.data:
            return ()
        if told.meta.units != "lbs_co2_per_mwh" or told.meta.signal_type != self.signal_type:
            raise Unavailable(
                f"WattTime answered with {told.meta.signal_type[:40]} in {told.meta.units[:40]}."
            )
        points = _points(
            [(each.point_time, each.value * GRAMS_A_POUND / 1_000) for each in told.data]
        )
        signal = Signal(
            region=region, kind=SignalKind.MARGINAL, unit=Unit.GRAMS_PER_KWH, points=points,
            issued_at=_epoch(told.meta.generated_at, now), source=f"WattTime, {theirs[:40]}, marginal CO2",
        )  # fmt: skip
        return (signal,)

    def _login(self) -> str:
        try:
            secret = msgspec.json.decode(self._secret(), type=_WtSecret)
        except ValueError:
            raise Unavailable(
                "WattTime's secret is not a JSON object of username and password."
            ) from None
        basic = urllib3.make_headers(basic_auth=f"{secret.username}:{secret.password}")
        told = self._http.get("/login", {}, basic, _WtLogin)
        if told is None:
            raise Unavailable("WattTime gave no token.")
        return told.token

    def _region_of(self, region: str, headers: Mapping[str, str]) -> str | None:
        grid = GRIDS[region]
        query = {
            "latitude": str(grid.latitude), "longitude": str(grid.longitude),
            "signal_type": self.signal_type,
        }  # fmt: skip
        told = self._http.get("/v3/region-from-loc", query, headers, _WtRegion)
        return None if told is None else told.region


class _Https:
    """GETs of one host. No redirect is followed: a key goes where it belongs and nowhere else."""

    def __init__(self, url: str, who: str) -> None:
        self._url = url
        self._who = who
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            retries=urllib3.Retry(2, redirect=0, backoff_factor=0.5, status_forcelist=(502, 503, 504)),
        )  # fmt: skip

    def get(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str], shape: type[T]
    ) -> T | None:
        """None where the service doesn't know what is asked for. Raises Unavailable, without the key in its words."""
        try:
            answer = self._pool.request(
                "GET", self._url + path, fields=dict(query), headers=dict(headers), redirect=False,
                preload_content=False,
            )  # fmt: skip
            try:
                body = answer.read(ANSWER_BYTES_MAX + 1, decode_content=True)
            finally:
                answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"{self._who} doesn't answer: {type(error).__name__}.") from None
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise Unavailable(
                f"{self._who} answered {path} with status {answer.status}.{_hint(answer.status)}"
            )
        if len(body) > ANSWER_BYTES_MAX:
            raise Unavailable(f"{self._who} answered {path} with over {ANSWER_BYTES_MAX:,} bytes.")
        try:
            return msgspec.json.decode(body, type=shape)
        except ValueError as error:
            raise Unavailable(f"{self._who} answered {path} in another form: {error}.") from None


def _hint(status: int) -> str:
    if status in (401, 403):
        return " Is the key in its secret, and does the plan include forecasts?"
    return " It is asked too often." if status == 429 else ""


def _points(steps: Sequence[tuple[datetime, float]]) -> tuple[SignalPoint, ...]:
    """A step lasts until the next; the last as long as the one before it."""
    starts: list[tuple[int, Any]] = sorted((int(when.timestamp()), value) for when, value in steps)
    seconds = _HOUR
    points = []
    for (start, value), (following, _) in pairwise(starts):
        seconds = following - start
        points.append(SignalPoint(start, seconds, value))
    start, value = starts[-1]
    return (*points, SignalPoint(start, seconds, value))


def _epoch(when: datetime | None, now: float) -> int:
    """A service that doesn't say how old its word is, or says that it is of the future, said it now."""
    return int(now) if when is None else min(int(when.timestamp()), int(now))
