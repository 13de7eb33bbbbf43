"""The last component of a run: renders one page about the whole run."""

from kfp import dsl


@dsl.component(base_image="embedtune/cpu", install_kfp_package=False)
def report(
    chunks: dsl.Input[dsl.Dataset],
    questions: dsl.Input[dsl.Dataset],
    dataset: dsl.Input[dsl.Dataset],
    triplets: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
    deploys: bool = False,
) -> None:
    """Render the report of the run from the artifacts of its stages.

    Args:
        chunks: The artifact written by ingest.
        questions: The artifact written by generate.
        dataset: The artifact written by split.
        triplets: The artifact written by mine.
        model: The artifact written by train.
        evaluation: The artifact written by evaluate.
        page: The report, as one self-contained file.
        deploys: Whether the run goes on to deploy the model.
    """
    import shutil
    import tempfile
    from pathlib import Path

    from components.body import plain_errors
    from embedtune.report.page import render_report

    step = "Keep what this run deploys: its `outcome` says whether it is live."
    if not deploys:
        step = "Deploy it: start the run again with `release_uri`, and with `deploy_if` at `win`."
    artifacts = {
        "chunks": chunks,
        "questions": questions,
        "dataset": dataset,
        "triplets": triplets,
        "model": model,
        "evaluation": evaluation,
    }
    with plain_errors(), tempfile.TemporaryDirectory() as work:
        for name, artifact in artifacts.items():
            (Path(work) / name).symlink_to(artifact.path)
        shutil.copyfile(render_report(Path(work), step), page.path)
