"""Personal data is masked before a passage is sent to an LLM, and restored in what the LLM wrote."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from embedtune.core.config.masking import MaskSettings
from embedtune.core.errors import ConfigError
from embedtune.core.personal_data import Finder
from embedtune.core.placeholders import hide, names_unknown, restore
from embedtune.core.progress import SilentProgress
from embedtune.generate.masking import Masking, mask_calls
from embedtune.generate.passages import Passage
from embedtune.generate.questions_to_ask import QuestionCall, QuestionSlot

SLOT = QuestionSlot("question", "structural", "factual", 2)
PATTERNS = MaskSettings(
    entities=["EMAIL_ADDRESS", "IBAN_CODE", "CREDIT_CARD", "PHONE_NUMBER"], models={"en": None}
)


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> MaskSettings:
    """A real spaCy model in a directory, which knows two people and a city."""
    folder = tmp_path_factory.mktemp("spacy") / "model"
    model = spacy.blank("en")
    ruler = model.add_pipe("entity_ruler")
    people = [{"label": "PERSON", "pattern": name} for name in ("Ada Byron", "Max Kruse", "Max")]
    ruler.add_patterns([*people, {"label": "GPE", "pattern": "Zürich"}])  # type: ignore[attr-defined]
    model.to_disk(folder)
    return MaskSettings(entities=["PERSON", "EMAIL_ADDRESS"], models={"en": str(folder)})


def masked(settings: MaskSettings, *texts: str) -> Masking:
    passages = tuple(Passage(f"c{n}", "d", text, "g", "train", False) for n, text in enumerate(texts))
    return mask_calls([QuestionCall(passages, (SLOT,))], settings, SilentProgress())


def test_what_patterns_find():
    text = (
        "Write to jo.doe@desk.internal or pay DE89 3704 0044 0532 0130 00 by card 4111 1111 1111 1111; "
        "call +49 30 901820. Part 4711-0815 costs 12.50."
    )
    (call,) = masked(PATTERNS, text).calls
    assert call.passages[0].text == (
        "Write to [EMAIL_ADDRESS_1] or pay [IBAN_CODE_1] by card [CREDIT_CARD_1]; "
        "call [PHONE_NUMBER_1]. Part 4711-0815 costs 12.50."
    )
    assert call.hidden == {
        "[EMAIL_ADDRESS_1]": "jo.doe@desk.internal",
        "[IBAN_CODE_1]": "DE89 3704 0044 0532 0130 00",
        "[CREDIT_CARD_1]": "4111 1111 1111 1111",
        "[PHONE_NUMBER_1]": "+49 30 901820",
    }


def test_card_numbers_are_found_in_every_language():
    german = MaskSettings(entities=["CREDIT_CARD"], models={"de": None})
    assert masked(german, "Karte 4111 1111 1111 1111").calls[0].passages[0].text == "Karte [CREDIT_CARD_1]"


def test_one_person_has_one_placeholder_in_all_passages_of_a_call(names):
    masking = masked(names, "Ask Ada Byron, not Max Kruse.", "MAX is away; ada byron (a@b.example) decides. Max!")
    first, second = masking.calls[0].passages
    assert first.text == "Ask [PERSON_1], not [PERSON_2]."
    # The rules of this spaCy model are case-sensitive; "Max" alone is another value than "Max Kruse".
    assert second.text == "MAX is away; ada byron ([EMAIL_ADDRESS_1]) decides. [PERSON_3]!"
    assert masking.counts == {"EMAIL_ADDRESS": 1, "PERSON": 3}
    assert masking.note.startswith("personal data was masked before a passage was sent to an LLM, in 2 of 2 ")


def test_a_placeholder_that_the_passage_has_already_is_not_used(names):
    (call,) = masked(names, "Template: Dear [PERSON_1], yours, Max").calls
    assert call.passages[0].text == "Template: Dear [PERSON_1], yours, [PERSON_2]"
    assert call.hidden == {"[PERSON_2]": "Max"}


def test_words_to_keep_are_not_masked(names):
    kept = names.model_copy(update={"keep": ["Max"]})
    assert masked(kept, "Max by Max Kruse").calls[0].passages[0].text == "Max by [PERSON_1]"


def test_what_an_llm_wrote_is_restored_and_hidden_again_from_the_judge():
    hidden = {"[PERSON_1]": "Ada", "[PERSON_2]": "Ada Byron"}
    assert restore("Who is PERSON_1, and is [PERSON_2] away? [PERSON_9]", hidden) == (
        "Who is Ada, and is Ada Byron away? [PERSON_9]"
    )
    assert hide("Is ada byron or Ada in Adana?", hidden) == "Is [PERSON_2] or [PERSON_1] in Adana?"
    assert names_unknown("When is [PERSON_9] there?", hidden)
    assert not names_unknown("What is [STEP_1]?", hidden)


@given(st.text(), st.dictionaries(st.integers(1, 50), st.from_regex(r"[a-z]{3,9} [a-z]{3,9}", fullmatch=True)))
def test_hidden_values_never_remain(text: str, people: dict[int, str]):
    hidden = {f"[PERSON_{number}]": value for number, value in people.items()}
    told = " ".join([text, *hidden.values()])
    assert not any(f" {value} " in f" {hide(told, hidden)} " for value in hidden.values())


def test_names_need_a_model():
    with pytest.raises(ValidationError, match="PERSON cannot be recognised in de without a spaCy model"):
        MaskSettings(models={"en": "en_core_web_lg", "de": None})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"models": {"en": "en_core_web_lg"}}, "python -m spacy download en_core_web_lg"),
        ({"models": {"zz": None}, "entities": ["PHONE_NUMBER"]}, "language that spaCy does not know"),
        ({"models": {"en": None}, "entities": ["SHOE_SIZE"]}, "SHOE_SIZE"),
    ],
)
def test_what_cannot_be_masked_is_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        Finder.of(MaskSettings.model_validate(settings))


def test_nothing_masked_is_sent_and_questions_name_people_again(world):
    rows = [
        ("Pump guide", "train", f"Pump {n} is greased by jane.roe{n}@plant.example at {n} bar.") for n in range(9)
    ]
    rows[7:] = [(path, split, text) for (path, _, text), split in zip(rows[7:], ("dev", "test"), strict=True)]
    mask = MaskSettings(entities=["EMAIL_ADDRESS"], models={"en": None})
    report = world.run(rows=rows, mask=mask, bundles_per_chunk=0.0, questions_per_chunk=1)
    sent = json.dumps([call.body for call in world.server.calls])
    assert "jane" not in sent
    assert "[EMAIL_ADDRESS_1]" in sent
    assert report.metrics["masked_EMAIL_ADDRESS"] == 9
    places = pq.read_table(Path(world.folder) / "questions/masked.parquet").to_pylist()
    assert [set(place) for place in places] == [{"chunk_id", "start", "end", "entity"}] * 9
    assert {place["end"] - place["start"] for place in places} == {len("jane.roe0@plant.example")}
