"""An earlier checkpoint is kept only if it is better than the last one by more than the noise of dev."""

from embedtune.train.checkpoint_choice import is_clearly_better, kept_step

ALONE = {f"q{number}": f"d{number}" for number in range(16)}


def differing(*differences: float) -> tuple[dict[str, float], dict[str, float]]:
    theirs = {f"q{number}": 0.5 for number in range(len(differences))}
    return {name: 0.5 + by for (name, _), by in zip(theirs.items(), differences, strict=True)}, theirs


def test_one_question_of_four_that_improves_is_noise() -> None:
    # The mean is 0.1; the deviations are 0.3 and three times -0.1: the standard error is sqrt(0.12) / 4 = 0.087.
    assert not is_clearly_better(*differing(0.4, 0.0, 0.0, 0.0), ALONE)


def test_eight_of_sixteen_are_not() -> None:
    # The mean is 0.1; all deviations are 0.1 or -0.1: the standard error is sqrt(0.16) / 16 = 0.025.
    assert is_clearly_better(*differing(*[0.2] * 8, *[0.0] * 8), ALONE)


def test_unless_the_eight_are_about_one_document_family() -> None:
    # Two families whose deviations add up to 0.8 and -0.8: the standard error is sqrt(1.28) / 16 = 0.071.
    families = {name: "left" if int(name[1:]) < 8 else "right" for name in ALONE}
    assert not is_clearly_better(*differing(*[0.2] * 8, *[0.0] * 8), families)


def test_a_lower_or_equal_mean_is_never_better() -> None:
    assert not is_clearly_better(*differing(0.0, 0.0), ALONE)
    assert not is_clearly_better(*differing(-0.2, -0.2), ALONE)


def history(**steps: dict[str, float]) -> list[dict[str, object]]:
    measured = [{"step": int(name[1:]), "eval_ndcg@10_by_question": values} for name, values in steps.items()]
    return [{"step": 1, "loss": 0.5}, *measured]


def test_the_choice_is_made_from_the_trainers_log() -> None:
    better = history(s3={"q0": 0.6, "q1": 0.8}, s6={"q0": 0.5, "q1": 0.7})  # both by 0.1: the standard error is 0
    assert kept_step(3, 6, better, ALONE) == 3
    by_chance = history(s3={"q0": 0.9, "q1": 0.5}, s6={"q0": 0.5, "q1": 0.7})  # by 0.4 and by -0.2
    assert kept_step(3, 6, by_chance, ALONE) == 6
    assert kept_step(6, 6, [], {}) == 6
