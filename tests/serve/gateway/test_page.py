"""The page at `/` in a real headless Chromium: base and tuned side by side, with no request to other hosts."""

import base64
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from embedtune.core.config.load import parse_config
from embedtune.core.progress import SilentProgress
from embedtune.core.secrets import Secrets
from embedtune.local.search_index import SearchIndex, open_index, write_playground
from tests.support.gateway_server import key, serving
from tests.support.searchable_work import make_searchable_work
from tests.support.tiny_model import tiny_contract
from tests.support.triton_server import Triton, options

QUESTION = "how do I clean the kiln?"
MARKED = "stop the press alarm guide"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> SearchIndex:
    work = make_searchable_work(tmp_path_factory.mktemp("page"))
    config = parse_config({"contract": tiny_contract(work).model_dump(), "runtime": {"device": "cpu"}})
    return open_index(work, ("base", "tuned"), config, Secrets({}), SilentProgress())


@pytest.fixture(scope="module")
def playground(index: SearchIndex, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("playground") / "play"
    write_playground(index, folder)
    return folder


@pytest.fixture(scope="module")
def site(triton: Triton, playground: Path) -> Iterator[str]:
    with serving(options(triton, playground=playground)) as url:
        yield url


class Page:
    """A page of the browser, the requests it sent and its error messages."""

    def __init__(self, browser: Any) -> None:
        self.page = browser.new_page(viewport={"width": 1000, "height": 700})
        self.page.set_default_timeout(20_000)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def column(self, model: str) -> list[tuple[str, int, float, str]]:
        """Return id, rank, score and move label of each result of a model."""
        return [
            (
                item.get_attribute("data-id"),
                int(item.query_selector(".rank").evaluate("node => node.firstChild.textContent")),
                float(item.query_selector(".score").text_content()),
                item.query_selector(".move").text_content(),
            )
            for item in self.page.query_selector_all(f".{model} li")
        ]

    def ask(self, question: str) -> None:
        self.page.fill("#query", question)
        self.page.press("#query", "Enter")
        self.page.wait_for_selector("#status:has-text('passages')")


@pytest.fixture
def page(browser: Any) -> Iterator[Page]:
    page = Page(browser)
    yield page
    page.page.close()


def expected(index: SearchIndex, model: str) -> list[tuple[str, int, float, str]]:
    rows = []
    for hit in index.search(QUESTION, 10)[model]:
        before, after = (hit.rank, hit.other_rank) if model == "base" else (hit.other_rank, hit.rank)
        arrow = "▲" if after < before else "▼"
        move = "=" if before == after else f"{arrow} {'to' if model == 'base' else 'from'} {hit.other_rank}"
        rows.append((hit.id, hit.rank, round(hit.score, 3), move))
    return rows


def test_a_typed_question_shows_both_rankings_and_what_moved(page: Page, site: str, index: SearchIndex) -> None:
    page.page.goto(site)
    page.page.wait_for_selector("#examples button")
    assert not page.page.is_visible("#key-form")
    assert not page.page.is_visible("#results")
    page.ask(QUESTION)
    assert page.page.is_visible("#results")
    for model in ("base", "tuned"):
        shown, wanted = page.column(model), expected(index, model)
        assert [row[:2] + row[3:] for row in shown] == [row[:2] + row[3:] for row in wanted]
        assert [row[2] for row in shown] == pytest.approx([row[2] for row in wanted], abs=0.0011)
    tuned = expected(index, "tuned")
    moved = [row for row in tuned if row[3] != "="]
    assert moved
    assert page.page.text_content("#status") == (
        f"{len(moved)} of the tuned model's first 10 passages have a different rank in the base model."
    )
    for (_, _, _, move), item in zip(tuned, page.page.query_selector_all(".tuned li"), strict=True):
        kind = {"=": "same", "▲": "up", "▼": "down"}[move[0]]
        assert item.get_attribute("class") == kind
    background = "node => getComputedStyle(node).backgroundColor"
    up, same = page.page.query_selector("li.up"), page.page.query_selector("li.same")
    assert up.evaluate(background) != "rgb(255, 255, 255)"
    assert same is None or same.evaluate(background) == "rgb(255, 255, 255)"
    # A curve joins the two positions of each passage that both columns show.
    common = {row[0] for row in page.column("base")} & {row[0] for row in page.column("tuned")}
    assert len(page.page.query_selector_all("#links path")) == len(common) > 0
    assert page.complaints == []


def test_no_request_leaves_the_host(page: Page, site: str) -> None:
    page.page.goto(site)
    page.page.wait_for_selector("#examples button")
    page.ask(QUESTION)
    assert len(page.requests) >= 3
    assert all(url.startswith(f"{site}/") for url in page.requests), page.requests
    reply = httpx.get(site)
    policy = reply.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; connect-src 'self'; ")
    script = reply.text.split("<script>")[1].split("</script>")[0]
    assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy
    assert "http" not in reply.text.replace("http://www.w3.org/2000/svg", "")  # a name, not an address
    # Even a page that was tampered with could not send anything to another host.
    blocked = page.page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'blocked')")
    assert blocked == "blocked"
    assert "violates the following Content Security Policy" in " ".join(page.complaints)


def test_examples_can_be_clicked_and_the_url_keeps_the_question(page: Page, site: str) -> None:
    page.page.goto(site)
    page.page.click("#examples button:has-text('hoist chain')")
    page.page.wait_for_selector(".tuned li")
    assert page.page.input_value("#query") == "hoist chain"
    first = page.column("tuned")
    assert page.page.url == f"{site}/?q=hoist%20chain"
    page.page.reload()
    page.page.wait_for_selector(".tuned li")
    assert page.column("tuned") == first


def test_markup_in_documents_is_shown_as_text_and_a_click_opens_a_passage(page: Page, site: str) -> None:
    page.page.goto(site)
    page.page.wait_for_selector("#examples button")
    page.ask(MARKED)
    item = page.page.query_selector("[data-id=markup]")
    assert item.query_selector(".title").text_content() == "Alarm <b>guide</b> & codes"
    assert item.query_selector(".text").text_content().startswith("<img src=x onerror=")
    assert page.page.query_selector(".body img, .body b") is None
    assert page.page.title() == "embedtune: base and tuned side by side"
    item.query_selector(".body").click()
    assert "open" in item.get_attribute("class").split()


def test_the_page_asks_for_the_api_key_if_one_is_needed(page: Page, triton: Triton, playground: Path) -> None:
    given = options(triton, api_key=key("s3cret"), playground=playground)
    with serving(given) as url:
        page.page.goto(url)
        page.page.wait_for_selector("#key-form", state="visible")
        assert page.page.text_content("#status") == "no API key: send the header Authorization: Bearer KEY"
        page.page.fill("#key", "wrong")
        page.page.press("#key", "Enter")
        page.page.wait_for_selector("#status:text-is('wrong API key')")
        page.page.fill("#key", "s3cret")
        page.page.press("#key", "Enter")
        page.page.wait_for_selector("#examples button")
        assert not page.page.is_visible("#key-form")
        page.ask(QUESTION)
        assert len(page.column("tuned")) == 10


def test_without_a_playground_the_page_says_how_to_create_one(page: Page, gateway: str) -> None:
    page.page.goto(gateway)
    page.page.wait_for_selector("#status.wrong")
    assert page.page.text_content("#status") == (
        "this gateway has no playground: start the gateway with --playground DIR, a directory that "
        "`embedtune search WORK --playground DIR` wrote"
    )


def test_a_playground_of_another_model_is_refused(
    triton: Triton, playground: Path, tmp_path: Path, page: Page
) -> None:
    import numpy as np

    other = tmp_path / "other"
    shutil.copytree(playground, other)
    np.save(other / "tuned.npy", np.load(other / "base.npy"))
    with serving(options(triton, playground=other)) as url:
        reply = httpx.post(f"{url}/playground", json={"query": QUESTION}, timeout=30)
        assert (reply.status_code, reply.json()["error"]["code"]) == (409, "other_model")
        page.page.goto(f"{url}/?q=hoist")
        page.page.wait_for_selector("#status.wrong")
        assert "was written for a model other than the one being served" in page.page.text_content("#status")


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"query": ""}, "query: expected str of length >= 1"),
        ({"query": "x" * 2001}, "query: expected str of length <= 2000"),
        ({"query": "a\0b"}, "input[0] contains a null byte"),
        ({"query": 7}, "query: expected str, got int"),
        ({"query": "x", "count": 51}, "count: expected int <= 50"),
    ],
)
def test_an_invalid_question_is_refused_with_the_reason(site: str, question: dict[str, Any], message: str) -> None:
    reply = httpx.post(f"{site}/playground", json=question, timeout=30)
    assert (reply.status_code, reply.json()["error"]["message"]) == (400, message)
