"""Near-duplicates of a right passage are right, and count once; families are the documents that share passages."""

import pytest

from embedtune.core.config.ingest import IngestSettings
from embedtune.core.progress import SilentProgress
from embedtune.core.retrieval.beir import Record, RetrievalSet
from embedtune.core.retrieval.metrics import evaluate_run
from embedtune.core.retrieval.passage_groups import (
    family_of,
    group_of,
    grouped_qrels,
    grouped_run,
    in_groups,
    mean_ndcg,
    search_depth,
)

# "a" and "copy of a" are one group, as are "n1" and "n2", which answer nothing.
GROUPS = {"a": "A", "copy of a": "A", "n1": "N", "n2": "N", "b": "B", "c": "C"}
LONG = "drain the brine tank of the kiln before you open the lower valve and wait until the pump has stopped"


def _passage(name: str, text: str, **metadata: str) -> Record:
    return Record(name, text, metadata)


def test_the_first_of_a_group_counts_and_later_ones_are_dropped():
    run = {"q": {"n1": 0.9, "n2": 0.8, "copy of a": 0.7, "b": 0.6, "a": 0.5}}
    assert grouped_run(run, GROUPS) == {"q": {"N": 0.9, "A": 0.7, "B": 0.6}}


def test_ndcg_by_hand():
    # By passage, "a" is at rank 5: 1/log2(6) = 0.387. By group it is at rank 2: 1/log2(3) = 0.631.
    run = {"q": {"n1": 0.9, "n2": 0.8, "copy of a": 0.7, "b": 0.6, "a": 0.5}}
    qrels = {"q": {"a": 1}}
    assert evaluate_run(run, qrels, (10,))["q"]["ndcg@10"] == pytest.approx(0.38685, abs=1e-5)
    found = evaluate_run(grouped_run(run, GROUPS), grouped_qrels(qrels, GROUPS), (10,))["q"]
    assert found["ndcg@10"] == pytest.approx(0.63093, abs=1e-5)
    assert found["mrr@10"] == pytest.approx(0.5)
    data = RetrievalSet([_passage(name, name, group_id=group) for name, group in GROUPS.items()], [], qrels)
    assert mean_ndcg(run, data) == pytest.approx(0.63093, abs=1e-5)


def test_two_judged_passages_of_one_group_are_one_answer():
    qrels = {"q": {"a": 1, "copy of a": 2, "b": 1}, "r": {"c": 1}}
    assert grouped_qrels(qrels, GROUPS) == {"q": {"A": 2, "B": 1}, "r": {"C": 1}}
    # Finding one copy and "b" is finding everything.
    found = evaluate_run(grouped_run({"q": {"a": 1.0, "b": 0.5}}, GROUPS), grouped_qrels(qrels, GROUPS), (10,))
    assert found["q"]["recall@10"] == 1.0


def test_a_score_that_is_not_a_number_is_not_hidden_by_another_of_its_group():
    run = grouped_run({"q": {"a": float("nan"), "copy of a": 0.7}}, GROUPS)
    assert run["q"]["A"] != run["q"]["A"]


def test_the_search_is_deep_enough_for_k_groups():
    # Two groups of 2, two of 1: the first two groups of a ranking have at most 4 passages, the third is the fifth.
    assert search_depth(GROUPS, 3) == 5
    assert search_depth(GROUPS, 1) == 1
    assert search_depth({name: name for name in "abcdef"}, 3) == 3
    assert search_depth({str(n): "all the same" for n in range(1000)} | {"x": "x"}, 2) == 32  # 16 times k


def test_passages_that_ingest_has_numbered_stay_as_they_are():
    corpus = [_passage("x", LONG, group_id="g", family_id="f"), _passage("y", LONG, group_id="h", family_id="f")]
    assert in_groups(corpus, IngestSettings(), SilentProgress()) == corpus
    assert (group_of(corpus), family_of(corpus)) == ({"x": "g", "y": "h"}, {"x": "f", "y": "f"})


def test_groups_and_families_of_a_users_own_set():
    corpus = [
        _passage("p2", LONG, doc_id="manual"),
        _passage("p1", LONG + " again", doc_id="old manual"),
        _passage("p3", "grease the chain of the rake hoist every ten hours", doc_id="old manual"),
        _passage("p4", "the cutter has four knives of hardened steel"),
    ]
    found = in_groups(corpus, IngestSettings(), SilentProgress())
    assert group_of(found) == {"p1": "p1", "p2": "p1", "p3": "p3", "p4": "p4"}
    assert family_of(found) == {"p1": "manual", "p2": "manual", "p3": "manual", "p4": "p4"}


def test_boilerplate_joins_no_families():
    corpus = [_passage(f"p{n}", LONG) for n in range(4)]
    assert len(set(family_of(in_groups(corpus, IngestSettings(), SilentProgress())).values())) == 4
    three = in_groups(corpus[:3], IngestSettings(), SilentProgress())
    assert set(family_of(three).values()) == {"p0"}
    assert set(group_of(three).values()) == {"p0"}
