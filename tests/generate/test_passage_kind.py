"""Which passages people rarely ask about, and what that does to the budget of questions."""

import pytest

from embedtune.core.config.generate import GenerateSettings
from embedtune.generate.passage_kind import passage_kind
from embedtune.generate.passages import Passage, read_passages
from embedtune.generate.questions_to_ask import chosen_passages, single_hop_calls, unasked_notes
from tests.support.context import CONTRACT
from tests.support.passages_world import write_chunks

PROSE = "The belt slips when more than forty bricks lie on it at the same time. Take some of them away."
FIELDS = "maxReplicas <integer>\nminReplicas <integer>\nscaleTargetRef <object>\nmetrics <list>"


@pytest.mark.parametrize(
    ("path", "headings", "text", "kind"),
    [
        ("LICENSE", [], PROSE, "licence"),
        ("docs/license.md", ["Licence"], PROSE, "licence"),
        ("a.py", [], "Redistributions of source code must retain the above copyright notice", "licence"),
        ("contracts/license-agreement.docx", ["Warranty"], PROSE, "licence"),
        (
            "contracts/lease.docx",
            ["Warranty"],
            "The lessor hereby grants the lessee the use of the flat.",
            "prose",
        ),
        ("CHANGELOG.md", ["Changelog", "1.4.0"], PROSE, "changelog"),
        ("docs/release-notes/may.md", ["Version 2.1"], PROSE, "changelog"),
        ("docs/changes.md", ["How to ask for changes"], PROSE, "prose"),
        ("history/rome.md", ["The republic"], PROSE, "prose"),
        ("a.md", ["Manual", "Table of Contents"], "Pump\nKiln\nBelt", "contents"),
        ("api.md", ["Model repository", "HTTP", "Index"], PROSE, "prose"),
        ("a.pdf", [], "Introduction ........ 3\nThe kiln ........... 14\nThe belt", "contents"),
        ("a.md", ["Contents of the first-aid box"], PROSE, "prose"),
        ("docs/reference/autoscaler.md", ["Fields"], FIELDS, "reference"),
        ("docs/reference/autoscaler.md", ["Why"], PROSE, "prose"),
        ("docs/autoscaler.md", ["Fields"], FIELDS, "prose"),
        ("docs/flags.md", ["Flags"], "This page is auto-generated\n" + FIELDS, "reference"),
        ("tickets.jsonl#KILN-7", ["Kiln"], PROSE, "prose"),
    ],
)
def test_kinds(path, headings, text, kind):
    assert passage_kind(path, headings, text) == kind


def test_the_kind_of_a_chunk_is_that_of_its_document(tmp_path):
    rows = [("LICENSE", "train", PROSE), ("manual", "train", f"{PROSE} Then start it again.")]
    chunks = write_chunks(tmp_path / "chunks", rows, CONTRACT)
    found = {passage.doc_id: passage.kind for passage in read_passages(chunks, CONTRACT)}
    assert found == {"LICENSE": "licence", "manual": "prose"}


def passages(kind, number, start=0):
    return [
        Passage(f"{kind}{place:04}", "d", PROSE, "g", "train", boilerplate=False, kind=kind)
        for place in range(start, start + number)
    ]


def test_only_a_share_of_what_people_rarely_ask_about_gets_questions():
    every = passages("prose", 50) + passages("changelog", 1000) + passages("licence", 20)
    chosen = chosen_passages(every, GenerateSettings(max_chunks=None), seed=1)
    count = {kind: sum(one.kind == kind for one in chosen) for kind in ("prose", "changelog", "licence")}
    assert (count["prose"], count["licence"]) == (50, 0)
    assert 70 <= count["changelog"] <= 130  # a tenth
    all_of_them = GenerateSettings(max_chunks=None, asked_shares={"changelog": 1, "licence": 1})
    assert len(chosen_passages(every, all_of_them, seed=1)) == 1070


def test_more_changelogs_change_no_other_choice():
    few, many = (
        chosen_passages(
            passages("prose", 50) + passages("changelog", n), GenerateSettings(max_chunks=None), seed=1
        )
        for n in (10, 30)
    )
    assert set(few) <= set(many)


def test_the_budget_of_chunks_is_spent_on_the_others():
    every = passages("prose", 30) + passages("licence", 300)
    chosen = chosen_passages(every, GenerateSettings(max_chunks=20), seed=1)
    assert [one.kind for one in chosen] == ["prose"] * 20


def test_the_note_counts_what_was_left_out():
    settings = GenerateSettings(asked_shares={"changelog": 1.0})
    every = passages("prose", 3) + passages("licence", 4) + passages("changelog", 2)
    calls = single_hop_calls(chosen_passages(every, settings, 1), settings, 1)
    assert unasked_notes(every, calls) == [
        "questions are asked about 2 of 2 changelog, 0 of 4 licence passages (generate.asked_shares)"
    ]
    assert unasked_notes(passages("prose", 3), calls) == []
