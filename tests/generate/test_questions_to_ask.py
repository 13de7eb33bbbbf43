"""Question calls: chosen by hash, in the configured proportions, and stable when documents are added."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedtune.core.config.generate import GenerateSettings
from embedtune.generate.questions_to_ask import choose, chosen_passages, draw, multi_hop_calls, single_hop_calls
from tests.support.passages_world import SETTINGS, passage, passages


def test_each_label_owns_its_share_of_the_interval_in_sorted_order():
    shares = {"b": 0.5, "a": 0.25, "c": 0.25}
    assert [choose(shares, at) for at in (0.0, 0.24, 0.25, 0.74, 0.75, 0.999)] == ["a", "a", "b", "b", "c", "c"]


def test_shares_need_not_sum_to_one_and_a_share_of_zero_is_never_drawn():
    shares = {"never": 0.0, "a": 3.0, "b": 1.0}
    assert [choose(shares, at) for at in (0.0, 0.74, 0.76, 0.999)] == ["a", "a", "b", "b"]


def test_a_draw_depends_on_every_part_and_on_the_boundaries_between_them():
    assert draw(1, "a") == draw(1, "a")
    assert len({draw(1, "a"), draw(2, "a"), draw(1, "b"), draw("1a"), draw("1", "", "a")}) == 5


@pytest.mark.parametrize("kind", ["styles", "reasoning_types", "query_types", "complexities"])
def test_over_many_passages_each_label_gets_the_configured_share(kind):
    field = {"styles": "style", "reasoning_types": "reasoning_type", "query_types": "query_type"}
    calls = single_hop_calls([passage(number) for number in range(2000)], SETTINGS, 42)
    slots = [slot for call in calls for slot in call.slots]
    counts = Counter(getattr(slot, field.get(kind, "complexity")) for slot in slots)
    for label, share in getattr(SETTINGS, kind).items():
        # 6,000 draws: five standard deviations are at most 0.032.
        assert counts[label] / len(slots) == pytest.approx(share, abs=0.032)


@given(st.sets(st.integers(0, 300), min_size=1, max_size=30), st.sets(st.integers(0, 300), max_size=30))
def test_added_documents_change_no_question_slots_of_other_passages(old, new):
    before = {s.key: s.slots for s in single_hop_calls([passage(n) for n in sorted(old)], SETTINGS, 42)}
    after = {s.key: s.slots for s in single_hop_calls([passage(n) for n in sorted(old | new)], SETTINGS, 42)}
    assert before.items() <= after.items()


def test_another_seed_asks_for_other_questions():
    found = passages(12)
    assert [s.slots for s in single_hop_calls(found, SETTINGS, 1)] != [
        s.slots for s in single_hop_calls(found, SETTINGS, 2)
    ]


def test_no_questions_are_asked_about_boilerplate():
    found = [passage(1), passage(2, boilerplate=True)]
    assert chosen_passages(found, SETTINGS, 42) == [found[0]]


@given(st.integers(1, 20), st.integers(1, 20))
def test_a_larger_limit_adds_passages_and_drops_none(one, other):
    few, many = sorted((one, other))
    found = passages(20)
    chosen = [
        {p.chunk_id for p in chosen_passages(found, GenerateSettings(max_chunks=most), 42)} for most in (few, many)
    ]
    assert chosen[0] <= chosen[1]
    assert [len(ids) for ids in chosen] == [few, many]


def test_a_bundle_gets_multi_hop_questions_that_need_a_fact_from_each_passage():
    bundles = [tuple(passages(12)[start : start + size]) for start, size in ((0, 2), (3, 3), (6, 2), (9, 3))]
    for call in multi_hop_calls(bundles, SETTINGS, 42):
        assert [slot.query_type for slot in call.slots] == ["multi_hop"]
        # Complexity c asks for c - 1 facts.
        assert all(slot.complexity - 1 >= len(call.passages) for slot in call.slots)
