"""Strict schemas, and replies parsed as models."""

import json
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from embedtune.llm.schema import (
    Problem,
    ends_early,
    json_part,
    read_as,
    repair_messages,
    strict_schema,
    with_schema_in_prompt,
)


class Leaf(BaseModel):
    """A leaf of the tree."""

    title: str = "none"  # a property with the name of a keyword
    kind: Literal["a", "b"] = Field(default="a", description="one of two")


class Tree(BaseModel):
    leaves: list[Leaf] = Field(min_length=1)
    best: Leaf | None = None
    score: int = Field(ge=1, le=10)


def test_the_schema_requires_every_property_and_allows_no_other_at_every_depth() -> None:
    assert strict_schema(Tree) == {
        "$defs": {
            "Leaf": {
                "description": "A leaf of the tree.",
                "type": "object",
                "properties": {
                    "title": {"type": "string"},
                    "kind": {"enum": ["a", "b"], "type": "string", "description": "one of two"},
                },
                "required": ["title", "kind"],
                "additionalProperties": False,
            }
        },
        "type": "object",
        "properties": {
            "leaves": {"items": {"$ref": "#/$defs/Leaf"}, "minItems": 1, "type": "array"},
            "best": {"anyOf": [{"$ref": "#/$defs/Leaf"}, {"type": "null"}]},
            "score": {"maximum": 10, "minimum": 1, "type": "integer"},
        },
        "required": ["leaves", "best", "score"],
        "additionalProperties": False,
    }


def test_a_reference_has_no_other_key_next_to_it() -> None:
    class Holder(BaseModel):
        leaf: Leaf = Field(description="strict mode does not allow a description here")

    assert strict_schema(Holder)["properties"]["leaf"] == {"$ref": "#/$defs/Leaf"}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ('```json\n{"a": {"b": 2}}\n```', '{"a": {"b": 2}}'),
        ('<think>perhaps {"a": 0}?</think>\nHere: {"a": 1}. Done.', '{"a": 1}'),
        ("  no object  ", "no object"),
        ("} backwards {", "} backwards {"),
        ("", ""),
    ],
)
def test_the_object_in_a_reply_is_found(text: str, part: str) -> None:
    assert json_part(text) == part


@settings(deadline=None)
@given(
    st.dictionaries(st.text(), st.text() | st.integers() | st.booleans()),
    st.sampled_from(["", "Sure:\n```json\n"]),
)
def test_an_object_is_found_whatever_is_around_it(value: dict[str, object], before: str) -> None:
    text = json.dumps(value)
    if "</think>" not in text:
        assert json.loads(json_part(f"{before}{text}\n```")) == value


def test_a_valid_reply_becomes_the_model() -> None:
    answer = read_as(Leaf, '{"title": "t", "kind": "b"}')
    assert answer == Leaf(title="t", kind="b")


@pytest.mark.parametrize(
    ("text", "kind", "detail"),
    [
        ('{"kind": "b"', "invalid JSON", "EOF"),
        ("", "invalid JSON", "the reply is empty"),
        ('{"kind": "c"}', "wrong schema", "kind: Input should be 'a' or 'b'"),
        ("[1]", "wrong schema", "object"),
    ],
)
def test_the_problem_with_a_reply_is_named(text: str, kind: str, detail: str) -> None:
    answer = read_as(Leaf, text)
    assert isinstance(answer, Problem)
    assert answer.kind == kind
    assert detail in answer.detail


@pytest.mark.parametrize(
    ("text", "early"),
    [
        ('{"a": [{"b": 1}, {"b"', True),
        ('{"a": "the press is', True),
        ('```json\n{"a": {"b": 1}\n```', True),
        ('<think>{"a"</think>{"a": 1', True),
        ('{"a": 1}', False),
        ('{"a": 1} and more {', False),
        ('{"a": 1,}', False),
        ('{"a": "x", "b: 1}', False),
        ("no object", False),
        ("", False),
    ],
)
def test_a_reply_that_ends_within_its_object_is_told_from_one_that_is_wrong(text: str, early: bool) -> None:
    assert ends_early(text) is early


def test_line_breaks_within_strings_are_accepted() -> None:
    assert read_as(Leaf, '{"title": "two\nlines\tand a tab", "kind": "b"}') == Leaf(
        title="two\nlines\tand a tab", kind="b"
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2,], "b": {"c": 3,},\n}', {"a": [1, 2], "b": {"c": 3}}),
        ('```json\n{"a": 1, // one\n /* two, "three" */ "b": 2}\n```', {"a": 1, "b": 2}),
        (
            '{"a": "https://x.org/,]", // see there\n "b": "/* , } */",}',
            {"a": "https://x.org/,]", "b": "/* , } */"},
        ),
        ('{"a": "two\nlines,\n}",}', {"a": "two\nlines,\n}"}),
        ('As {you} like: {"a": {"b": 1,},} {so}', {"a": {"b": 1}}),
        ('{"a": "b // c, ]"}', {"a": "b // c, ]"}),
    ],
)
def test_commas_after_the_last_item_and_comments_are_left_out(text: str, value: object) -> None:
    assert json.loads(json_part(text), strict=False) == value


def test_a_reply_with_a_lone_surrogate_is_a_problem_and_not_a_crash() -> None:
    assert isinstance(read_as(Leaf, '{"title": "\ud800"}'), Problem)
    assert isinstance(read_as(Leaf, '{"title": "\\ud800"}'), Problem)


def test_a_repair_shows_only_a_short_part_of_a_long_cut_off_reply() -> None:
    echo, demand = repair_messages("x" * 9000, Problem("cut off", "…"))
    assert len(echo["content"]) < 600
    assert "shorter" in demand["content"]


def test_a_repair_shows_the_reply_and_the_error() -> None:
    echo, demand = repair_messages('{"a": 1}', Problem("wrong schema", "b: Field required"))
    assert (echo["role"], echo["content"], demand["role"]) == ("assistant", '{"a": 1}', "user")
    assert "b: Field required" in demand["content"]


def test_the_schema_goes_into_the_system_message_and_the_rest_stays() -> None:
    system, user = {"role": "system", "content": "Be kind."}, {"role": "user", "content": "Go."}
    with_system = with_schema_in_prompt([system, user], {"type": "object", "required": ["a", "b"]})
    assert with_system[0]["content"].startswith("Be kind.\n\n")
    assert '{"type":"object","required":["a","b"]}' in with_system[0]["content"]  # without blanks: fewer tokens
    assert with_system[1:] == [user]
    without = with_schema_in_prompt([user], {"type": "object"})
    assert [message["role"] for message in without] == ["system", "user"]
