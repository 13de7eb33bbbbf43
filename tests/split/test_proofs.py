"""Each proof passes for a clean dataset and finds the one leak that is planted in it."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedtune.core.errors import GateError
from embedtune.core.retrieval.beir import Record
from embedtune.split import proofs
from embedtune.split.dataset import Dataset
from embedtune.split.proofs import Limits, prove

LIMITS = Limits(jaccard=0.7, containment=0.8, query_jaccard=0.9)
LONG = " ".join(f"word{i}" for i in range(40))


def passage(name: str, split: str, text: str | None = None, group: str | None = None) -> Record:
    return Record(name, text or f"{name} is alone", {"split": split, "group_id": group or name})


def query(name: str, split: str, text: str | None = None) -> Record:
    return Record(name, text or f"what does {name} ask for", {"split": split})


def clean() -> Dataset:
    corpus = [passage(f"{split}{i}", split) for split in ("train", "dev", "test") for i in range(3)]
    queries = [query(f"q-{record.id}", record.metadata["split"]) for record in corpus]
    qrels = {split: {f"q-{split}{i}": {f"{split}{i}": 1} for i in range(3)} for split in ("train", "dev", "test")}
    return Dataset(corpus, queries, qrels, {record.id: record.text for record in corpus})


def with_texts(dataset: Dataset, **texts: str) -> Dataset:
    return Dataset(dataset.corpus, dataset.queries, dataset.qrels, {**dataset.texts, **texts})


def test_a_clean_dataset_passes_and_says_what_was_checked():
    found = {proof.name: proof.checked for proof in prove(clean(), LIMITS, "")}
    assert found == {
        "every judged passage is in the corpus": 9,
        "every query is judged in its own split only": 9,
        "every query, multi-hop ones included, is in the split of all its passages": 9,
        "no dev or test positive is a train positive": 6,
        "no dev or test positive is in the group of a train positive": 6,
        "no dev or test positive nearly duplicates a train positive (exact word-5-grams)": 6,
        "no query nearly repeats a query of another split (exact word-3-grams)": 9,
    }


def test_a_judged_passage_that_is_not_in_the_corpus():
    dataset = clean()
    dataset.qrels["train"]["q-train0"]["ghost"] = 1
    assert proofs.judged_passages_exist(dataset).violations == ("ghost is judged but not in the corpus",)


def test_a_query_judged_in_another_split_than_its_own():
    dataset = clean()
    dataset.qrels["test"]["q-train0"] = {"test0": 1}
    violations = proofs.queries_are_judged_in_their_split(dataset).violations
    assert violations == ("q-train0 is judged in test but belongs to train",)


def test_a_query_without_judgements():
    dataset = clean()
    del dataset.qrels["dev"]["q-dev1"]
    assert proofs.queries_are_judged_in_their_split(dataset).violations == ("q-dev1 has no judgements",)


def test_a_multi_hop_query_across_two_splits():
    dataset = clean()
    dataset.qrels["train"]["q-train0"]["test2"] = 1
    violations = proofs.queries_share_the_split_of_their_passages(dataset).violations
    assert violations == ("q-train0 of train is answered by {'test2': 'test', 'train0': 'train'}",)


def test_one_passage_that_answers_train_and_test():
    dataset = clean()
    dataset.qrels["test"]["q-test0"]["train1"] = 1
    assert proofs.no_shared_positive(dataset).violations == ("train1",)


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_group_with_positives_of_train_and_of_a_held_out_split(split):
    dataset = clean()
    held_out = next(record for record in dataset.corpus if record.id == f"{split}1")
    held_out.metadata["group_id"] = "train2"
    violations = proofs.no_shared_group(dataset).violations
    assert violations == (f"{split}1 and train2 are both in group train2",)


def test_a_near_duplicate_that_the_groups_missed():
    # 36 shingles against 32 of them and 4 others: Jaccard 32 / 40 = 0.8.
    changed = LONG.rsplit(" ", 4)[0] + " some other words here"
    dataset = with_texts(clean(), train0=LONG, test2=changed)
    (violation,) = proofs.no_similar_positive(dataset, LIMITS).violations
    assert violation.startswith("train0 and test2: Jaccard 0.80, containment 0.89: word0 word1")


def test_a_short_text_inside_a_long_one():
    dataset = with_texts(clean(), train0=LONG, dev0=" ".join(LONG.split()[10:20]))
    (violation,) = proofs.no_similar_positive(dataset, LIMITS).violations
    assert violation.startswith("train0 and dev0: Jaccard 0.17, containment 1.00")


def test_texts_that_share_less_than_the_limits_pass():
    dataset = with_texts(clean(), train0=LONG, test2=" ".join(LONG.split()[:20]) + " " + LONG.replace("word", "x"))
    assert proofs.no_similar_positive(dataset, LIMITS).violations == ()


def test_a_question_that_is_repeated_in_another_split():
    dataset = clean()
    dataset.queries[0] = query("q-train0", "train", "How often is the pump cleaned?")
    dataset.queries[8] = query("q-test2", "test", "how often is  the pump cleaned")
    violations = proofs.no_similar_query(dataset, LIMITS).violations
    assert violations == ("q-train0 (train) and q-test2 (test): How often is the pump cleaned?",)


def test_the_error_names_every_failed_proof_with_examples_and_a_fix():
    dataset = clean()
    for i in range(3):
        dataset.qrels["test"]["q-test0"][f"train{i}"] = 1
    with pytest.raises(GateError) as caught:
        prove(dataset, LIMITS, "do this")
    text = str(caught.value)
    assert "no dev or test positive is a train positive (3 of 9 checked)" in text
    assert "train0" in text
    assert "do this" in text
    assert caught.value.exit_code == 3


def test_long_lists_of_violations_are_cut():
    dataset = clean()
    for i in range(9):
        dataset.qrels["train"]["q-train0"][f"ghost{i}"] = 1
    with pytest.raises(GateError, match="and 4 more"):
        prove(dataset, LIMITS, "")


LEAKS = {
    "shared positive": lambda d, i: d.qrels["test"][f"q-test{i}"].update({f"train{i}": 1}),
    "shared group": lambda d, i: d.corpus[6 + i].metadata.update(group_id=f"train{i}"),
    "near-duplicate": lambda d, i: d.texts.update({f"test{i}": LONG, f"train{i}": LONG + " end"}),
    "question": lambda d, i: d.queries.__setitem__(6 + i, query(f"q-test{i}", "test", d.queries[i].text)),
    "multi-hop": lambda d, i: d.qrels["train"][f"q-train{i}"].update({f"dev{i}": 1}),
}


@settings(max_examples=40)
@given(leak=st.sampled_from(sorted(LEAKS)), place=st.integers(0, 2))
def test_any_planted_leak_stops_the_run(leak, place):
    dataset = copy.deepcopy(clean())
    LEAKS[leak](dataset, place)
    with pytest.raises(GateError):
        prove(dataset, LIMITS, "")
