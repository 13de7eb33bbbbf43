"""The last component of a run: one page about all of it."""

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
) -> None:
    """Render report.html from the artifacts of all stages.

    Args:
        chunks: What ingest wrote.
        questions: What generate wrote.
        dataset: What split wrote.
        triplets: What mine wrote.
        model: What train wrote.
        evaluation: What evaluate wrote.
        page: The report, one self-contained file.
    """
    import shutil
    import tempfile
    from pathlib import Path

    from embedtune.report.page import render_report

    artifacts = {
        "chunks": chunks,
        "questions": questions,
        "dataset": dataset,
        "triplets": triplets,
        "model": model,
        "evaluation": evaluation,
    }
    with tempfile.TemporaryDirectory() as work:
        for name, artifact in artifacts.items():
            (Path(work) / name).symlink_to(artifact.path)
        shutil.copyfile(render_report(Path(work)), page.path)
