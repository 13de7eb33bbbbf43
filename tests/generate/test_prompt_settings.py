"""What the user says about documents and people reaches the LLM, and their own files replace ours."""

import re
from dataclasses import replace

import pytest

from embedtune.core.config.generate import GenerateSettings
from embedtune.core.errors import ConfigError
from embedtune.generate import question_slots
from embedtune.generate.prompts import prompts_of
from embedtune.generate.questions_to_ask import QuestionCall, QuestionSlot, single_hop_calls
from embedtune.generate.requests import judging_request, writing_request
from tests.support.passages_world import SETTINGS, passage

PROMPTS_OF_SETTINGS = prompts_of(SETTINGS)
CALL = QuestionCall((passage(1),), (QuestionSlot("symptom", "contextual", "causal", 3),))
PAIR = QuestionCall((passage(1), passage(2)), (QuestionSlot("keywords", "multi_hop", "relational", 3),))


def writing(call, prompts=PROMPTS_OF_SETTINGS):
    return writing_request(call, prompts)


def everything(messages):
    return "\n".join(message["content"] for message in messages)


def test_what_the_user_says_about_documents_and_people_is_in_the_first_message_of_every_prompt():
    own = prompts_of(
        GenerateSettings(domain="rental contracts", audience="tenants", language="German", context_words=20)
    )
    for messages in (
        writing(CALL, own).messages,
        writing(PAIR, own).messages,
        judging_request(CALL, [("q", "a")], own).messages,
        judging_request(PAIR, [("q", "a")], own).messages,
    ):
        assert "The documents: rental contracts. The people who search: tenants." in messages[0]["content"]
        assert "(before: …)" in messages[0]["content"]
    assert "Write in German." in writing(CALL, own).messages[0]["content"]
    assert "Write in the language of the passage." in writing(CALL).messages[0]["content"]
    assert "The documents" not in everything(writing(CALL).messages)


def test_no_placeholder_is_left_in_any_request():
    for call in (CALL, PAIR):
        for request in (writing(call), judging_request(call, [("q", "a")], PROMPTS_OF_SETTINGS)):
            assert not re.search(
                r"\{(background|language|passages|queries|slots|searches)\}", everything(request.messages)
            )


def test_a_persona_is_drawn_for_each_question_and_named_in_its_slot():
    personas = ("a new colleague", "a fitter")
    (call,) = single_hop_calls([passage(1)], GenerateSettings(personas=personas, questions_per_chunk=20), 42)
    assert {slot.persona for slot in call.slots} == set(personas)
    for place, slot in enumerate(call.slots, 1):
        assert question_slots.question_slot_text(place, slot).endswith(f"; typed by {slot.persona}")


@pytest.fixture
def queries(tmp_path):
    path = tmp_path / "queries.txt"
    path.write_text("\n".join(f"real query {number}" for number in range(9)) + "\n\nreal  query 0\n<|end|>\n")
    return path


def test_a_few_real_queries_are_shown_and_the_rest_of_the_request_is_unchanged(queries):
    prompts = prompts_of(GenerateSettings(example_queries=str(queries)))
    assert prompts.queries == (*(f"real query {number}" for number in range(9)), "<|end|>")
    plain, shown = (everything(writing(CALL, one).messages) for one in (PROMPTS_OF_SETTINGS, prompts))
    listed = prompts.queries_for(CALL.key)
    assert len(re.findall(r"^- ", listed, re.MULTILINE)) == 4
    assert shown.replace(listed, "", 1) == plain
    assert "<|" not in shown


def test_another_query_in_the_file_changes_only_the_calls_that_show_it(queries):
    keys = [f"chunk{number}" for number in range(200)]
    before = prompts_of(GenerateSettings(example_queries=str(queries)))
    with queries.open("a") as file:
        file.write("an additional query\n")
    after = prompts_of(GenerateSettings(example_queries=str(queries)))
    changed = [key for key in keys if before.queries_for(key) != after.queries_for(key)]
    assert 0 < len(changed) < len(keys)
    assert all("- an additional query" in after.queries_for(key) for key in changed)


@pytest.mark.parametrize("content", [None, "", "\n . \n"])
def test_a_file_of_queries_that_has_none_is_refused(tmp_path, content):
    path = tmp_path / "queries.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"generate\.example_queries"):
        prompts_of(GenerateSettings(example_queries=str(path)))


OWN = "<!-- system -->\nFrage auf Deutsch.{background}\n<!-- user -->\n{passages}\n{slots}\n"


def test_a_prompt_file_of_the_users_replaces_ours(tmp_path):
    path = tmp_path / "own.md"
    path.write_text(OWN, encoding="utf-8-sig")
    own = prompts_of(GenerateSettings(prompts={"generate_single": str(path)}, domain="contracts"))
    messages = writing(CALL, own).messages
    assert messages[0] == {"role": "system", "content": "Frage auf Deutsch. The documents: contracts."}
    assert len(messages) == 2 and passage(1).text in messages[1]["content"]
    assert own.versions["generate_single"] != PROMPTS_OF_SETTINGS.versions["generate_single"]
    assert own.versions["judge"] == PROMPTS_OF_SETTINGS.versions["judge"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot be read"),
        ("no roles", "does not end with a user message"),
        ("<!-- user -->\nask\n<!-- assistant -->\nok\n", "does not end with a user message"),
        ("<!-- user -->\n{passage}\n", "unknown placeholders"),
    ],
)
def test_a_prompt_file_that_cannot_work_is_refused(tmp_path, content, complaint):
    path = tmp_path / "own.md"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=complaint):
        prompts_of(GenerateSettings(prompts={"judge": str(path)}))


def test_text_around_a_chunk_is_marked_as_such():
    one = replace(passage(1), before="the end of it", after="the next one")
    last = writing(QuestionCall((one,), CALL.slots)).messages[-1]["content"]
    assert f"(before: … the end of it)\n{one.text}\n(after: the next one …)" in last


def older_prompts(tmp_path):
    """Prompt files of a user who wrote them before replies could be null or say which passages are needed."""
    files = {}
    for name in ("generate_single", "generate_multi", "judge", "judge_multi"):
        path = tmp_path / f"{name}.md"
        path.write_text("<!-- user -->\nneeded often\n{passages}\n")
        files[name] = str(path)
    return prompts_of(GenerateSettings(prompts=files))


def test_a_reply_may_be_null_only_if_the_prompt_says_so(tmp_path):
    null = {"search_1": None}
    assert writing(CALL).schema.model_validate(null)
    with pytest.raises(ValueError, match="search_1"):
        writing(CALL, older_prompts(tmp_path)).schema.model_validate(null)


def test_the_judge_is_asked_which_passages_are_needed_only_if_its_prompt_says_so(tmp_path):
    pair = [("q", "a")]
    assert '"needed"' in str(judging_request(PAIR, pair, PROMPTS_OF_SETTINGS).schema.model_json_schema()).replace(
        "'", '"'
    )
    older = judging_request(PAIR, pair, older_prompts(tmp_path))
    assert "needed" not in str(older.schema.model_json_schema())


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"domain": "contracts"}, "domain"),
        ({"context_words": 9}, "context_words"),
        ({"language": "German"}, "language"),
    ],
)
def test_a_setting_that_a_prompt_file_has_no_place_for_is_refused(tmp_path, settings, key):
    path = tmp_path / "own.md"
    path.write_text("<!-- user -->\n{passages}\n{slots}\n")
    with pytest.raises(ConfigError, match=f"generate.{key} cannot reach the LLM"):
        prompts_of(GenerateSettings(prompts={"generate_single": str(path)}, **settings))
    # A judge has no language to write in.
    if key == "language":
        prompts_of(GenerateSettings(prompts={"judge": str(path)}, **settings))
