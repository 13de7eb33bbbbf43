"""The component that says what a run achieved, whether or not something was deployed."""

from kfp import dsl


@dsl.component(base_image="embedtune/cpu", install_kfp_package=False)
def outcome(
    questions: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    outcome: dsl.Output[dsl.Metrics],
    deployed: bool = False,
) -> None:
    """Collect the figures that runs are compared by.

    Args:
        questions: The artifact written by generate.
        model: The artifact written by train.
        evaluation: The artifact written by evaluate.
        outcome: The verdict and the most important figures, as numbers.
        deployed: Whether deploy made the model live. A parameter, since on a cluster KFP's SDK 2.17 fails on an
            optional artifact that is there.
    """
    from pathlib import Path

    from components.body import plain_errors
    from components.outcome_figures import outcome_figures, write_figures

    with plain_errors():
        figures = outcome_figures(Path(questions.path), Path(model.path), Path(evaluation.path), deployed=deployed)
    write_figures(figures, outcome)
