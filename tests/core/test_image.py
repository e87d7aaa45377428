from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.destination import Destination, Reach
from offpeak.core.errors import InvalidRequest
from offpeak.core.image import (
    InlineImage,
    StoredImage,
    image_parts,
    media_type,
    parse_image_url,
)

PNG = "data:image/png;base64,iVBORw0KGgo="
URLS = ("messages", "input")


def _chat(*parts: Any) -> dict[str, Any]:
    return {
        "messages": [{"role": "system", "content": "see"}, {"role": "user", "content": list(parts)}]
    }


@pytest.mark.parametrize(
    ("body", "places"),
    [
        (_chat({"type": "image_url", "image_url": {"url": PNG}}), {"body.messages.1.content.0.image_url.url"}),
        (_chat({"type": "image_url", "image_url": PNG}), {"body.messages.1.content.0.image_url"}),
        (_chat({"image_url": {"url": PNG, "detail": "low"}}), {"body.messages.1.content.0.image_url.url"}),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": PNG}]}]},
            {"body.input.0.content.0.image_url"},
        ),
        (
            {"input": [{"type": "function_call_output", "output": [{"type": "input_image", "image_url": PNG}]}]},
            {"body.input.0.output.0.image_url"},
        ),
        (_chat({"type": "text", "text": "image_url"}), set()),
        ({"input": "a text", "prompt": {"image_url": PNG}, "tools": [{"image_url": {}}]}, set()),
        ({"messages": None, "input": [[1, 2], "x"]}, set()),
    ],
)  # fmt: skip
def test_images_are_found_wherever_an_endpoint_takes_them(
    body: dict[str, Any], places: set[str]
) -> None:
    parts = list(image_parts(body))
    assert {part.param for part in parts} == places
    assert all(part.url == PNG for part in parts)


@pytest.mark.parametrize("name", ["video_url", "audio_url", "file_url"])
def test_what_else_an_engine_could_be_made_to_fetch_is_refused(name: str) -> None:
    for value in ("https://example.com/a", {"url": "https://example.com/a"}):
        with pytest.raises(InvalidRequest, match="images are the only media"):
            list(image_parts(_chat({"type": name, name: value})))


def test_a_body_that_hides_an_image_in_depth_is_refused() -> None:
    nested: Any = {"image_url": PNG}
    for _ in range(100):
        nested = [nested]
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        list(image_parts({"input": nested}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["content", "image_url", "url", "type", "x"]), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(URLS), json_values))
def test_after_every_part_is_replaced_no_other_url_is_left(body: dict[str, Any]) -> None:
    try:
        for part in image_parts(body):
            part.holder[part.name] = PNG
        again = list(image_parts(body))
    except InvalidRequest:
        return
    assert all(part.url == PNG for part in again)


def test_the_three_ways_to_name_an_image() -> None:
    assert parse_image_url(PNG, param="p") == InlineImage()
    stored = parse_image_url("s3://bucket/drop/acct_1/cats/1.png", param="p")
    assert stored == StoredImage("bucket", "drop/acct_1/cats/1.png")
    fetched = parse_image_url("https://example.com/a.png?b=1", param="p")
    assert isinstance(fetched, Destination)
    assert (fetched.host, fetched.target) == ("example.com", "/a.png?b=1")


@pytest.mark.parametrize(
    "url",
    [
        None, 3, "", "cat.png", "http://example.com/a.png", "ftp://example.com/a", "file:///etc/passwd",
        "https://127.0.0.1/a", "https://169.254.169.254/latest/meta-data", "https://[::1]/", "https://2130706433/",
        "https://localhost/a", "https://user:word@example.com/a", "https://metadata.google.internal/",
        "data:text/html;base64,AAAA", "data:image/svg+xml;base64,AAAA", "data:image/png,AAAA",
        "data:image/png;base64,", "data:image/png;base64,!!", "s3://bucket", "s3://bucket/", "s3:///key",
        "s3://Bucket_/key", "s3://bucket/" + "k" * 1_025,
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_the_place_it_stands_at(url: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_image_url(url, param="body.messages.0")
    assert (refused.value.code, refused.value.param) == ("invalid_image_url", "body.messages.0")


def test_the_local_cloud_alone_reaches_this_machine() -> None:
    url = "http://127.0.0.1:8000/a.png"
    assert isinstance(parse_image_url(url, Reach.LOOPBACK, param="p"), Destination)


@pytest.mark.parametrize(
    ("key", "is_own"),
    [
        ("drop/acct_1/a.png", True), ("drop/acct_1/deep/er/a.png", True), ("drop/acct_2/a.png", False),
        ("drop/acct_11/a.png", False), ("files/acct_1/a", False), ("drop/acct_1", False),
        ("drop/acct_1/../acct_2/a.png", False),
        ("drop/acct_1/./a.png", False), ("drop/acct_1/a..png", True), ("a.png", False),
    ],
)  # fmt: skip
def test_an_account_has_one_folder(key: str, is_own: bool) -> None:
    assert StoredImage("bucket", key).is_in_folder_of("acct_1") is is_own


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n...", "image/png"), (b"\xff\xd8\xff\xe0", "image/jpeg"), (b"GIF89a..", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8", "image/webp"), (b"<svg>", None), (b"", None), (b"RIFF\0\0\0\0WAVE", None),
    ],
)  # fmt: skip
def test_an_image_is_known_by_its_first_bytes(start: bytes, kind: str | None) -> None:
    assert media_type(start) == kind


def test_where_nothing_is_fetched_an_image_comes_with_the_request_or_from_the_drop_folder() -> None:
    nowhere = Reach.NOWHERE
    assert isinstance(
        parse_image_url("data:image/png;base64,AAAA", nowhere, param="p"), InlineImage
    )
    assert isinstance(parse_image_url("s3://bucket/drop/a/b.png", nowhere, param="p"), StoredImage)
    with pytest.raises(InvalidRequest, match="fetches nothing from the internet") as caught:
        parse_image_url("https://example.com/b.png", nowhere, param="p")
    assert (caught.value.code, caught.value.param) == ("invalid_image_url", "p")
