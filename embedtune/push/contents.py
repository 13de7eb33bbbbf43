"""What is pushed: the files of a model artifact with its completed card, and what is known about its verdict."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from embedtune.core.artifacts import file_sha256, read_artifact
from embedtune.core.contract import EncoderContract
from embedtune.core.errors import ArtifactError, GateError
from embedtune.core.records.evaluation import VERDICT_FILE, VerdictRecord
from embedtune.core.records.training import SEEDS_FOLDER
from embedtune.push.loading import loading_section
from embedtune.report.card import README, render_model_card
from embedtune.report.card_metadata import CardFacts
from embedtune.report.work import Work, open_work

PLACEHOLDER = "path/to/this/directory"  # of the model's README


@dataclass(frozen=True)
class Contents:
    """The files to push.

    Args:
        files: The local file of each name, sorted by name; names have `/` between folders.
        contract: The model's.
        verdict: Its verdict; None: it was not evaluated.
    """

    files: Mapping[str, Path]
    contract: EncoderContract
    verdict: VerdictRecord | None

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(path.stat().st_size for path in self.files.values())

    def hashes(self) -> dict[str, str]:
        """Return the SHA-256 of each file, by name."""
        return {name: file_sha256(path) for name, path in self.files.items()}


def gather(work: Path, facts: CardFacts, model: str, staging: Path) -> Contents:
    """Verify the model of a work directory and write its card.

    The manifest stays behind, since it describes the artifact and not what is pushed; so do models of other seeds.

    Args:
        work: The work directory.
        facts: What it does not say about the model.
        model: How the pushed model will be named where it is loaded.
        staging: Directory to write the card to.

    Raises:
        InputError: There is no artifact.
        ArtifactError: There is no model, a file was changed, or the evaluation is of another model.
    """
    opened = open_work(work)
    artifact = read_artifact(work / "model", "model")
    contract = artifact.manifest.contract
    verdict = _verdict(opened)
    card = render_model_card(opened, facts).replace(PLACEHOLDER, model, 1) + loading_section(contract, model)
    (staging / README).write_text(card, encoding="utf-8")
    names = [name for name in artifact.manifest.files if PurePosixPath(name).parts[0] != SEEDS_FOLDER]
    files = {name: work / "model" / name for name in names} | {README: staging / README}
    return Contents(dict(sorted(files.items())), contract, verdict)


def require_win(contents: Contents, *, any_verdict: bool) -> None:
    """Check that the model was measured to be better than its base.

    Args:
        contents: The model.
        any_verdict: Whether another verdict, or none, is accepted.

    Raises:
        GateError: It was not, and that is not accepted.
    """
    verdict = contents.verdict
    if any_verdict or (verdict is not None and verdict.verdict.value == "WIN"):
        return
    raise GateError(
        "the model is not known to be better than its base",
        got="no evaluation" if verdict is None else f"{verdict.verdict.value} on {verdict.decided_on}",
        expected="WIN",
        fix="run `embedtune evaluate`" if verdict is None else "add --any-verdict to push it all the same",
    )


def _verdict(opened: Work) -> VerdictRecord | None:
    verdict = opened.record("evaluation", VERDICT_FILE, VerdictRecord)
    if verdict is None:
        return None
    evaluated = opened.manifests["evaluation"].inputs.get("model")
    if evaluated != opened.manifests["model"].fingerprint:
        raise ArtifactError(
            "the evaluation is of another model", got=str(opened.path), fix="run `embedtune evaluate` again"
        )
    return verdict
