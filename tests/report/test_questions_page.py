"""The page of questions in a real browser: decisions are made, kept, downloaded, imported; no request is sent."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embedtune.core.records.reviews import Review, write_reviews
from embedtune.local.import_reviews import import_reviews
from embedtune.local.question_table import page_of, read_question_table
from embedtune.local.reviews import known_reviews
from embedtune.report.questions_page import render_questions
from tests.support.parsed_html import HOSTILE
from tests.support.questions_work import make_questions_work

MARKUP = f"{HOSTILE} <img src=x onerror=\"document.title='owned'\"> "


@pytest.fixture
def work(tmp_path: Path) -> Path:
    work = make_questions_work(tmp_path / "work", text=MARKUP)
    write_reviews(work / "reviews.jsonl", [Review(question_id="dev-0", decision="accept")])
    table = read_question_table(work)
    text = render_questions(page_of(table, known_reviews(work), 400, 50, "embedtune questions work --import FILE"))
    (work / "questions.html").write_text(text)
    return work


@pytest.fixture
def page(browser: Any, work: Path) -> Iterator[Any]:
    context = browser.new_context(accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
    page.on(
        "request",
        lambda request: page.problems.append(request.url) if "questions.html" not in request.url else None,
    )
    page.goto(f"file://{work}/questions.html")
    yield page
    assert [problem for problem in page.problems if not problem.startswith("blob:")] == []
    context.close()


def card(page: Any, name: str) -> Any:
    return page.locator(f'article[data-id="{name}"]')


def test_decisions_are_made_kept_downloaded_and_imported(page, work, tmp_path):
    assert page.title() == "embedtune questions"  # no script of a question has run
    assert card(page, "test-0").locator("h2").text_content() == f"{MARKUP}why does the test kiln say 0?"
    card(page, "test-0").get_by_role("button", name="Accept").click()
    card(page, "test-1").get_by_role("button", name="Reject").click()
    card(page, "test-1").get_by_label("Why it is rejected").fill("nobody asks this")
    card(page, "test-1").get_by_label("Why it is rejected").blur()
    card(page, "train-0").get_by_role("button", name="Edit").click()
    card(page, "train-0").get_by_label("Question").fill("What does 0 mean?")
    card(page, "train-0").get_by_role("button", name="Save").click()
    assert page.locator("#progress-text").text_content() == "Test questions accepted: 1 of 50"

    page.reload()  # the browser has kept them
    assert card(page, "train-0").locator("h2").text_content() == "What does 0 mean?"
    assert card(page, "test-1").get_by_label("Why it is rejected").input_value() == "nobody asks this"
    with page.expect_download() as started:
        page.get_by_role("button", name="Download 3 decisions").click()
    file = tmp_path / started.value.suggested_filename
    started.value.save_as(file)
    assert {json.loads(line)["question_id"] for line in file.read_text().splitlines()} == {
        "test-0",
        "test-1",
        "train-0",
    }

    done = import_reviews(work, file, read_question_table(work))
    assert (done.accepted, done.edited, done.rejected, done.unknown) == (2, 1, 1, 0)
    reviews = known_reviews(work)
    assert reviews["train-0"].question == "What does 0 mean?"
    assert reviews["test-1"].note == "nobody asks this"
    assert reviews["dev-0"].decision == "accept"


def test_questions_are_filtered_and_rejections_grouped(page):
    assert page.locator("article").count() == 5  # those that the filters kept
    page.get_by_label("Split").select_option("dev")
    assert page.locator("article").count() == 1
    page.get_by_label("Split").select_option("")
    page.get_by_label("Words").fill("kiln say 2")
    assert page.locator("article").count() == 1
    page.get_by_label("Words").fill("")
    page.get_by_label("Your decision").select_option("accept")
    assert page.locator("article").get_attribute("data-id") == "dev-0"
    page.get_by_label("Your decision").select_option("")
    page.locator("#groups summary").click()
    page.get_by_role("button", name="clarity too low").click()
    assert page.locator("article").get_attribute("data-id") == "train-1"
    assert page.get_by_label("Shown").input_value() == "rejected"


def test_keys_decide_and_a_second_press_takes_back(page):
    page.keyboard.press("j")
    first = page.locator("article").first
    page.keyboard.press("a")
    assert first.get_attribute("class") == "accept"
    page.keyboard.press("a")
    assert first.get_attribute("class") == ""
    page.keyboard.press("e")
    page.keyboard.type("a")  # typed into the question, no decision
    assert first.locator("textarea").first.input_value().endswith("?a")
    assert first.get_attribute("class") == ""
