"""The first screen: the decision and its reasons in sentences, for every verdict."""

from dataclasses import replace

import pytest

from embedtune.core.records.base import write_record
from embedtune.core.records.deployment import DEPLOYMENT_FILE, Deployment
from embedtune.core.records.evaluation import Promotion, Verdict
from embedtune.core.records.metrics import HybridMetrics, Metrics
from embedtune.report.evaluation import read_evaluation
from embedtune.report.first_screen import Decision, decide, first_screen
from embedtune.report.question_sets import Author, QuestionSet, question_set
from embedtune.report.work import Work, open_work
from tests.support.evaluation_records import interval, make_evaluation, make_slice
from tests.support.report_work import make_work

UP, DOWN, UNSURE = interval(0.06, 0.01, 0.11), interval(-0.05, -0.09, -0.02), interval(0.02, -0.02, 0.06)
GIVEN, MODEL = QuestionSet("hand", 100, Author.GIVEN), QuestionSet("synthetic", 100, Author.MODEL, "qwen")
NOTHING = Work(path=None, manifests={})


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    from embedtune.core.config.load import parse_config

    contract = {"base_model": "tiny", "dimensions": [384]}
    config = parse_config({"contract": contract, "evaluate": {"interval_samples": 200}})
    return open_work(make_work(tmp_path_factory.mktemp("work"), config))


def _promoted(evaluation, verdict):
    promotion = Promotion(against="champion", verdict=verdict, better=verdict is Verdict.WIN, delta=UNSURE)
    return replace(evaluation, verdict=evaluation.verdict.model_copy(update={"promotion": promotion}))


@pytest.mark.parametrize(
    ("delta", "asked", "champion", "decision"),
    [
        (UP, GIVEN, None, Decision.SWITCH),
        (UP, MODEL, None, Decision.CONFIRM),
        (UP, GIVEN, Verdict.WIN, Decision.SWITCH),
        (UP, GIVEN, Verdict.MARGINAL, Decision.KEEP_LIVE),
        (UNSURE, GIVEN, None, Decision.KEEP),
        (UNSURE, MODEL, Verdict.WIN, Decision.KEEP),
        (DOWN, GIVEN, None, Decision.REJECT),
        (DOWN, MODEL, Verdict.WIN, Decision.REJECT),
    ],
)
def test_the_decision_follows_from_verdict_live_model_and_whose_questions_decided(
    delta, asked, champion, decision
):
    evaluation = make_evaluation(delta, name=asked.name)
    if champion:
        evaluation = _promoted(evaluation, champion)
    assert decide(NOTHING, evaluation, asked) is decision


def test_a_gain_here_and_a_loss_there_is_said_so(work):
    evaluation = make_evaluation(UP, verdict="REGRESSION")
    assert decide(NOTHING, evaluation, GIVEN) is Decision.REJECT_IN_PART


def test_a_deployed_model_is_not_to_be_deployed_again(work, tmp_path):
    (tmp_path / "deployment").mkdir()
    deployed = Deployment(deployed=True, reason="", target="local", endpoint="e", releases=None, release="r")
    write_record(tmp_path / "deployment" / DEPLOYMENT_FILE, deployed)
    opened = Work(tmp_path, {"deployment": work.manifests["model"]})
    assert decide(opened, make_evaluation(UP), GIVEN) is Decision.LIVE
    assert decide(opened, make_evaluation(UNSURE), GIVEN) is Decision.LIVE_UNPROVEN


def _text(work, evaluation):
    screen = first_screen(work, evaluation)
    return screen, {answer.question: " ".join(answer.sentences) for answer in screen.answers}


def test_a_win_says_what_was_tested_how_sure_it_is_and_what_to_do(work):
    screen, answers = _text(work, make_evaluation(UP))
    assert screen.headline == "Better. Switch to the tuned model."
    assert screen.lead == (
        "Of 100 “hand” questions, the search put a right passage first for 40 before tuning and for 45 after."
    )
    assert screen.steps[0].startswith("Deploy it: ")
    assert screen.steps[0].endswith("Nothing that people use changes yet.")
    assert "all 264 passages" in screen.steps[1] and "`embedtune reindex`" in screen.steps[1]
    in_a_pipeline = first_screen(work, make_evaluation(UP), "Keep what this run deploys.")
    assert in_a_pipeline.steps == ["Keep what this run deploys.", screen.steps[1]]
    assert screen.reasons == []
    assert list(answers) == [
        "What was tested?",
        "Did it get better?",
        "How sure is that?",
        "For which questions?",
        "Whose questions?",
        "What does it cost?",
    ]
    assert "72 documents (264 passages)" in answers["What was tested?"]
    assert answers["Did it get better?"].startswith(
        "Yes. A right passage was among the first 10 for 70 of 100 questions before and for 74 after. 20 "
        "questions got better results, 12 worse ones, 68 the same. What decides is a score that also counts how "
        "high on the list it comes (nDCG@10; 1 would be perfect): it rose from"
    )
    assert "between +0.01 and +0.11 with 95% confidence" in answers["How sure is that?"]
    assert "You supplied them as the set “hand”" in answers["Whose questions?"]


@pytest.mark.parametrize(
    ("delta", "change", "said"),
    [
        (UP, UP, "with the tuned one; alone, the models have 0.500 and 0.530. So join both searches if your"),
        (UNSURE, UNSURE, "with the tuned one, which may be chance; alone, the models have 0.500 and 0.530."),
        (
            DOWN,
            DOWN,
            "and that is not chance; alone, the models have 0.500 and 0.530. So do not add a keyword search",
        ),
    ],
)
def test_it_says_what_a_keyword_search_adds(work, delta, change, said):
    means = {"base": {"ndcg@10": 0.54}, "tuned": {"ndcg@10": 0.56}}
    evaluation = make_evaluation(UP)
    both = HybridMetrics(systems=means, delta={"ndcg@10": delta}, change=change)
    sets = {"hand": evaluation.metrics.sets["hand"].model_copy(update={"hybrid": both})}
    screen, answers = _text(work, replace(evaluation, metrics=Metrics(sets=sets)))
    answer = answers["And together with a keyword search?"]
    # The base with a keyword search, 0.54, is better than the tuned model alone, 0.53.
    assert ("That adds more than the tuning does, and both together are best." in answer) is (change is UP)
    assert ("the score is 0.560 then, instead of 0.530" in screen.steps[-1]) is (change is UP)
    assert "the score is 0.540 with the model before tuning and 0.560 with the tuned one" in answer
    assert said in answer


def test_a_model_in_the_space_of_its_base_needs_no_moment_to_switch(work):
    evaluation = make_evaluation(UP)
    own = evaluation.metrics.sets["hand"]

    def on_old_index(score):
        systems = {**own.systems, "old-index": {"ndcg@10": score}}
        return replace(evaluation, metrics=Metrics(sets={"hand": own.model_copy(update={"systems": systems})}))

    aligned = on_old_index(0.52)
    screen, answers = _text(work, aligned)
    assert "passages may be replaced one by one" in screen.steps[-1]
    assert "the score is 0.520; it was 0.500 and will be 0.530" in screen.steps[-1]
    assert "cannot be searched with another" not in answers["What does it cost?"]
    replaced, answers = _text(work, _promoted(aligned, Verdict.WIN))  # the index is not the base's
    assert "from the same moment on" in replaced.steps[-1]
    assert "cannot be searched with another" in answers["What does it cost?"]
    worse, answers = _text(work, on_old_index(0.49))  # than before tuning
    assert "from the same moment on" in worse.steps[-1]
    plain, answers = _text(work, evaluation)
    assert "from the same moment on" in plain.steps[-1]
    assert "cannot be searched with another" in answers["What does it cost?"]


def test_a_marginal_verdict_changes_nothing_and_starts_with_the_likeliest_reason(work):
    screen, answers = _text(work, make_evaluation(UNSURE))
    assert screen.headline == "No proven gain. Keep the model you have."
    assert screen.steps[0].startswith("Change nothing in production")
    assert screen.reasons[0].change in screen.steps[1]
    assert answers["How sure is that?"].startswith(
        "Not sure. The true change in score lies anywhere between \N{MINUS SIGN}0.02"
    )


def test_a_regression_is_not_to_be_used(work):
    screen, answers = _text(work, make_evaluation(DOWN, means=(0.3, 0.5, 0.45)))
    assert screen.headline == "Worse. Do not use the tuned model."
    assert screen.steps[0].startswith("Change nothing in production")
    assert answers["Did it get better?"].startswith("No, it got worse.")
    assert "a loss, more than chance would explain" in answers["How sure is that?"]


def test_too_few_documents_are_said_instead_of_an_interval(work):
    _, answers = _text(work, make_evaluation(interval(0.05, -1.0, 1.0, units=4)))
    assert answers["How sure is that?"].startswith(
        "It cannot be said. The 100 questions are about only 4 separate"
    )
    untested, answers = _text(work, make_evaluation(interval(0.05, -1.0, 1.0, units=1)))
    assert untested.headline == "Too few documents to tell. Keep the model you have."
    assert "about only 1 separate document (" in answers["How sure is that?"]

    alone = make_evaluation(interval(0.05, -1.0, 1.0, units=1), name="synthetic")
    screen, _ = _text(work, alone)
    # One share alone would be refused: they have to add up.
    assert "(`ingest.test_share`, with `ingest.train_share` lowered by as much)" in screen.reasons[0].change


def test_questions_of_a_language_model_are_to_be_confirmed(work):
    screen, answers = _text(work, make_evaluation(UP, name="synthetic"))
    assert screen.headline.startswith("Better on a language model's questions.")
    assert screen.steps[0].startswith("Do not switch yet. Collect about 50 questions")
    assert answers["Whose questions?"].startswith("A language model (qwen) wrote them, not people.")


def test_questions_of_labelled_data_are_not_called_a_language_models(work):
    dataset = work.manifests["dataset"].model_copy(update={"inputs": {"dataset": "0" * 64}})
    labelled = Work(work.path, work.manifests | {"dataset": dataset})
    evaluation = make_evaluation(UP, name="synthetic")
    assert question_set(labelled, evaluation, "synthetic").author is Author.LABELLED
    screen, answers = _text(labelled, evaluation)
    assert screen.headline == "Better. Switch to the tuned model."
    assert "100 questions of your labelled data" in screen.lead
    assert "kept out of training" in answers["Whose questions?"]


def test_questions_about_documents_that_training_saw_are_counted(work):
    parts = [
        make_slice("answered_in", "train", UP, queries=70),
        make_slice("answered_in", "dev", interval(0.02, -0.1, 0.1), queries=10),
        make_slice("answered_in", "test", interval(-0.01, -0.1, 0.1), queries=20),
    ]
    _, answers = _text(work, make_evaluation(UP, slices=parts))
    # (0.02 · 10 - 0.01 · 20) / 30 = 0
    said = answers["Whose questions?"]
    assert (
        "70 of them are about documents that the model has learned about from other questions. The other 30"
        in said
    )
    assert "on these the score did not change" in said
    better = [*parts[:2], make_slice("answered_in", "test", interval(0.05, -0.1, 0.2), queries=20)]
    _, answers = _text(work, make_evaluation(UP, slices=better))
    assert "on these the score rose by 0.040" in answers["Whose questions?"]  # (0.02 · 10 + 0.05 · 20) / 30


def test_the_reader_sees_two_questions_and_whether_a_keyword_search_helps(work):
    evaluation = read_evaluation(work)
    _, answers = _text(work, evaluation)
    shown = evaluation.changes.shown
    assert len(shown) == 2 and all(0 < len(text) <= 120 for text in shown)
    assert f"Two of the questions: “{shown[0]}” and “{shown[1]}”." in answers["Whose questions?"]


def test_checked_questions_of_a_language_model_are_not_called_peoples(work):
    typed = [make_slice("query_type", "structural", UP)]
    screen, answers = _text(work, make_evaluation(UP, name="reviewed", slices=typed))
    assert screen.headline == "Better. Switch to the tuned model."
    assert answers["Whose questions?"].startswith("A language model wrote them, and a person checked them")


def test_other_sets_are_reported_with_their_authors(work):
    evaluation = read_evaluation(work)
    _, answers = _text(work, evaluation)
    assert "On 122 questions written by a language model it rose from" in answers["Did it get better?"]
