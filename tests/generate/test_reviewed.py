"""What people decided about questions counts for more than the filters, and asks no LLM again."""

from pathlib import Path

import numpy as np

from embedtune.core.records.reviews import Review, write_reviews
from embedtune.generate.filters import by_scores, round_trip, without_duplicates
from embedtune.generate.repeated_questions import without_leaks
from embedtune.generate.reviewed import review_counts, with_reviews
from tests.support.generate_world import GenerateWorld
from tests.support.openai_server import OpenAIServer
from tests.support.passages_world import SETTINGS, question
from tests.support.tiny_model import make_tiny_model


def accept(name: str, **words: str) -> dict[str, Review]:
    return {name: Review(question_id=name, decision="accept", **words)}


def reject(name: str) -> dict[str, Review]:
    return {name: Review(question_id=name, decision="reject")}


def test_a_rejected_question_is_left_out():
    (found,) = with_reviews([question(question_id="1")], reject("1"))
    assert found.reason == "reviewed"


def test_an_accepted_question_passes_the_filters_that_judge_it():
    poor = question(question_id="1", scores=(1, 1, 1, 1), base_rank=500, bm25_rank=500, reason="mentions_passage")
    (found,) = with_reviews([poor], accept("1"))
    assert by_scores(found, SETTINGS).reason == ""
    assert round_trip(found, 10).reason == ""
    assert by_scores(question(scores=(1, 1, 1, 1)), SETTINGS).reason == "min_relevance"


def test_an_accepted_question_may_not_repeat_another():
    kept, same = question("how hot", split="test"), question("how hot", question_id="1", split="train")
    (accepted,) = with_reviews([same], accept("1"))
    assert without_leaks([kept, accepted], 0.9)[1].reason == "leak"


def test_of_two_duplicates_the_one_that_a_person_accepted_stays():
    best, mine = (
        question("how hot", question_id="1", scores=(10, 10, 10, 10)),
        question("how hot?", question_id="2"),
    )
    (accepted,) = with_reviews([mine], accept("2"))
    found = without_duplicates([best, accepted], np.ones((2, 1), np.float32), 0.9)
    assert [one.reason for one in found] == ["duplicate", ""]


def test_an_edit_changes_the_words_and_not_the_id():
    (found,) = with_reviews([question("how hot", question_id="1")], accept("1", question="How hot?", answer="90"))
    assert (found.question_id, found.question, found.answer) == ("1", "How hot?", "90")


def test_what_has_no_words_cannot_be_accepted():
    (found,) = with_reviews([question("", question_id="1", reason="failed: timeout")], accept("1"))
    assert found.reason == "failed: timeout"


def test_decisions_are_counted_and_lost_ones_too():
    reviews = accept("1", answer="90") | accept("2") | reject("3") | reject("gone")
    counts = review_counts([question(question_id=name) for name in "123"], reviews)
    assert counts == {
        "reviewed_accepted": 2,
        "reviewed_edited": 1,
        "reviewed_rejected": 1,
        "reviews_without_question": 1,
    }


def test_the_next_run_uses_them_without_asking_the_llm_again(tmp_path: Path):
    base = make_tiny_model(tmp_path / "base")
    with OpenAIServer() as server:
        world = GenerateWorld(tmp_path / "work", base, server)
        world.run(bundles_per_chunk=0.0)
        asked = server.completions
        first, second, *_ = sorted(row["question_id"] for row in world.rows())
        file = tmp_path / "reviews.jsonl"
        write_reviews(file, (reject(first) | accept(second, question="Whatever for?")).values())
        report = world.run(bundles_per_chunk=0.0, reviews=str(file))
        assert server.completions == asked
        kept = {row["question_id"]: row["question"] for row in world.rows()}
        assert first not in kept and kept[second] == "Whatever for?"
        assert {row["question_id"]: row["reason"] for row in world.rows("rejected")}[first] == "reviewed"
        assert (report.metrics["reviewed_edited"], report.metrics["reviewed_rejected"]) == (1, 1)
        moved = file.rename(tmp_path / "elsewhere.jsonl")
        before = (world.folder / "questions" / "manifest.json").read_bytes()
        world.run(bundles_per_chunk=0.0, reviews=str(moved))  # the same decisions: up to date
        assert (world.folder / "questions" / "manifest.json").read_bytes() == before
