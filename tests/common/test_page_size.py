"""Pages end by bytes, and a page that fits is encoded once."""

from typing import Any

import pytest

from service.common.encoding import EncodedJson, loads
from service.common.page_size import EncodedItems, fit
from service.http.endpoint import json_response

PAGE_BYTES = 1000


@pytest.fixture(autouse=True)
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.common.page_size.MAX_PAGE_BYTES", PAGE_BYTES)


def items_of(*sizes: int) -> list[dict[str, Any]]:
    """Items with so many characters, of two bytes each."""
    return [{"seq": seq, "content": "é" * size} for seq, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "count"), [((), 0), ((100, 100, 100), 3), ((100, 200, 200), 2), ((600, 10), 1), ((10, 600), 1)]
)
def test_a_page_has_the_items_that_fit_and_at_least_one(sizes: tuple[int, ...], count: int) -> None:
    items = items_of(*sizes)
    assert items[:count] == fit(items)
    assert items[:count][::-1] == fit(items, reverse=True)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", [(1, 2, 3), (100, 200, 200)])
def test_a_response_has_the_items_of_the_page(sizes: tuple[int, ...], reverse: bool) -> None:
    """Whether their JSON is known or not."""
    page = fit(items_of(*sizes), reverse=reverse)
    response = json_response({"items": page, "next": 'a"/é'})
    assert response.body is not None
    assert {"items": list(page), "next": 'a"/é'} == loads(response.body)


def test_a_response_takes_the_json_of_the_items_as_it_is() -> None:
    page = EncodedItems([{"content": "long"}], EncodedJson('["/é"]'))
    assert '{"items":["/é"],"next":7}'.encode() == json_response({"items": page, "next": 7}).body
