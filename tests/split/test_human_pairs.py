"""Questions of people become train questions: never about dev or test documents, and never a repeated question."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedtune.core.config.split import HumanPairs
from embedtune.core.errors import ConfigError, InputError
from embedtune.core.retrieval.beir import Record, read_records, read_retrieval_set
from embedtune.core.stage import Context
from embedtune.split import stage
from embedtune.split.dataset import Dataset
from embedtune.split.human_pairs import ELSEWHERE, REPEATED, UNPLACED, HumanSource, add_human_pairs
from embedtune.split.labelled import import_labelled
from embedtune.split.proofs import Limits, prove
from tests.split.test_split_stage import CHUNKS, QUESTIONS, write_inputs
from tests.support.context import context
from tests.support.feedback import chose, write_feedback

RED, BLUE, HOIST, KILN = (chunk["chunk_id"] for chunk in CHUNKS)  # train, train, dev, test
FEEDBACK = [
    chose("pump too hot?", RED),
    chose("Pump too  hot?", RED),
    chose("brine on the floor", BLUE),
    chose("oil for the hoist", HOIST),  # answered by dev
    chose("When does the door close", BLUE),  # the words of a test question
    chose("old", "gone"),
    chose("both", RED, KILN),  # one answer is of test
]


def paired(context: Context, *entries: dict[str, Any]) -> Context:
    pairs = tuple(HumanPairs(**entry) for entry in entries)
    split = context.config.split.model_copy(update={"human_pairs": pairs})
    return replace(context, config=context.config.model_copy(update={"split": split}))


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[Path, Path]:
    return write_inputs(tmp_path, [{**chunk, "border": False} for chunk in CHUNKS])


@pytest.fixture
def ours(tmp_path: Path, config: Any, progress: Any) -> Context:
    return context(config, tmp_path / "cache", progress)


def people(dataset: Path) -> dict[str, tuple[set[str], object, object]]:
    """Return the questions of people in a dataset: their passages, source and weight."""
    train = read_retrieval_set(dataset, "train")
    return {
        query.text: (set(train.qrels[query.id]), query.metadata["source"], query.metadata["weight"])
        for query in train.queries
        if query.id.startswith("human-")
    }


def test_feedback_about_train_documents_is_added_with_its_source_and_weight(tmp_path, inputs, ours) -> None:
    write_feedback(tmp_path / "asked", *FEEDBACK)
    entry = {"kind": "feedback", "place": str(tmp_path / "asked"), "weight": 2.5}
    report = stage.run(*inputs, tmp_path / "dataset", paired(ours, entry))
    assert people(tmp_path / "dataset") == {
        "Pump too  hot?": ({RED}, "feedback", 2.5),
        "brine on the floor": ({BLUE}, "feedback", 2.5),
    }
    first, *others = report.notes
    assert first.startswith(f"2 train questions of people were added from {tmp_path / 'asked'}; ")
    assert f"1 were left out because {REPEATED}" in first
    assert f"2 were left out because {ELSEWHERE}" in first
    assert f"1 were left out because {UNPLACED}" in first
    assert any(
        "1 choices of 1 passages or documents that exist no longer were left out: gone" in one for one in others
    )
    assert len(read_records(tmp_path / "dataset" / "queries.jsonl")) == len(QUESTIONS) + 2


def test_quoted_questions_and_faqs_are_added_too(tmp_path, inputs, ours) -> None:
    quoted = [
        {"question": "heat?", "answers": [{"path": "a.md", "quote": "PUMP runs"}]},
        {"question": "a document", "answers": [{"path": "a.md"}]},  # of two passages
        {"question": "no such", "answers": [{"path": "z.md", "quote": "x"}]},
        {"question": "oil?", "answers": [{"path": "b.md"}]},  # of one passage, but of dev
    ]
    faq = [
        {"question": "what leaks?", "answer": "The blue valve leaks  brine"},
        {"question": "short", "answer": "the red"},
        {"question": "long", "answer": "The red pump runs hot, so wait. Then call somebody."},
        {"question": "test", "answer": "kiln doors close at dusk"},
    ]
    for name, rows in (("quoted", quoted), ("faq", faq)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    entries = (
        {"kind": "questions", "place": str(tmp_path / "quoted.jsonl")},
        {"kind": "faq", "place": str(tmp_path / "faq.jsonl"), "weight": 3},
    )
    stage.run(*inputs, tmp_path / "dataset", paired(ours, *entries))
    assert people(tmp_path / "dataset") == {
        "heat?": ({RED}, "questions", 1.0),
        "what leaks?": ({BLUE}, "faq", 3.0),
        "long": ({RED}, "faq", 3.0),
    }


@pytest.mark.parametrize("flag", ["border", "boilerplate"])
def test_a_passage_about_which_no_questions_are_asked_answers_none_of_people_either(tmp_path, ours, flag) -> None:
    chunks = [{**chunk, "border": False, flag: chunk["chunk_id"] == BLUE} for chunk in CHUNKS]
    questions = [QUESTIONS[0], *QUESTIONS[2:]]
    chunks = [{**{"boilerplate": False}, **chunk} for chunk in chunks]
    write_feedback(tmp_path / "asked", chose("hot?", RED), chose("brine?", BLUE))
    entry = {"kind": "feedback", "place": str(tmp_path / "asked")}
    stage.run(*write_inputs(tmp_path, chunks, questions), tmp_path / "dataset", paired(ours, entry))
    assert set(people(tmp_path / "dataset")) == {"hot?"}


def test_other_feedback_makes_another_dataset_and_the_same_one_does_not(tmp_path, inputs, ours) -> None:
    write_feedback(tmp_path / "asked", *FEEDBACK)
    entry = {"kind": "feedback", "place": str(tmp_path / "asked")}
    manifest = tmp_path / "dataset" / "manifest.json"
    stage.run(*inputs, tmp_path / "dataset", paired(ours, entry))
    first = manifest.read_bytes()
    (tmp_path / "asked").rename(tmp_path / "moved")
    entry["place"] = str(tmp_path / "moved")
    stage.run(*inputs, tmp_path / "dataset", paired(ours, entry))
    assert manifest.read_bytes() == first  # what is there counts, not where it is
    write_feedback(tmp_path / "moved", *FEEDBACK, chose("brine again", BLUE))
    stage.run(*inputs, tmp_path / "dataset", paired(ours, entry))
    assert "brine again" in people(tmp_path / "dataset")


def test_what_is_wrong_is_named(tmp_path, inputs, ours) -> None:
    file = tmp_path / "faq.jsonl"
    entry = {"kind": "faq", "place": str(file)}
    with pytest.raises(InputError, match="no questions of people at this place"):
        stage.run(*inputs, tmp_path / "dataset", paired(ours, entry))
    file.write_text('\n{"question": "q"}\n')
    with pytest.raises(InputError, match=r"faq\.jsonl:2 is not a question with its answer"):
        stage.run(*inputs, tmp_path / "dataset", paired(ours, entry))
    with pytest.raises(ConfigError, match=r"split\.human_pairs places answers in documents"):
        import_labelled(tmp_path, tmp_path / "dataset", paired(ours, entry))


WORDS = st.sampled_from(["pump", "kiln", "door", "oil", "brine", "hot", "close"])
ASKED = st.lists(WORDS, min_size=1, max_size=5).map(" ".join)
CHOICES = st.lists(st.tuples(ASKED, st.lists(st.sampled_from([*"abcdef", "gone"]), max_size=3, unique=True)))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CHOICES, st.lists(ASKED, min_size=1, max_size=4, unique=True))
def test_whatever_people_ask_nothing_leaks(tmp_path_factory: pytest.TempPathFactory, choices, held_out) -> None:
    splits = dict(zip("abcdef", ["train", "train", "train", "dev", "test", "test"], strict=True))
    texts = {name: f"{name} {' '.join(name * 3 + str(n) for n in range(12))}" for name in splits}
    corpus = [
        Record(
            name, texts[name], {"split": split, "group_id": name, "family_id": name, "doc_id": name, "path": name}
        )
        for name, split in splits.items()
    ]
    queries = [Record(f"q{n}", text, {"split": "test"}) for n, text in enumerate(held_out)]
    queries.append(Record("train", "nobody asks this", {"split": "train"}))
    test = {query.id: {"e": 1} for query in queries[:-1]}
    dataset = Dataset(corpus, queries, {"train": {"train": {"a": 1}}, "dev": {}, "test": test}, texts)
    folder = tmp_path_factory.mktemp("asked")
    file = write_feedback(folder, *(chose(query, *chosen) for query, chosen in choices))
    source = HumanSource(HumanPairs(kind="feedback", place=str(folder)), (file,))
    grown, _ = add_human_pairs(dataset, [source], {"c"}, 0.9)
    prove(grown, Limits(0.7, 0.8, 0.9), "")
    added = {name: judged for name, judged in grown.qrels["train"].items() if name != "train"}
    assert {passage for judged in added.values() for passage in judged} <= {"a", "b"}
    assert (grown.qrels["dev"], grown.qrels["test"]) == (dataset.qrels["dev"], dataset.qrels["test"])
