"""The metadata at the head of a model card, in the format of the Hugging Face Hub."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from embedtune.core.errors import ArtifactError, InputError
from embedtune.core.records.metrics import Metrics
from embedtune.core.retrieval.metrics import metric_title
from embedtune.report.metric_rows import HEADLINES

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

HEAD = re.compile(r"---\n(.*?)\n---\n", re.DOTALL)
# Of a repository: OWNER/NAME of letters, digits, `-`, `_` and `.` (huggingface_hub.utils.validate_repo_id).
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# Of a licence: the Hub's identifiers, for example apache-2.0 or cc-by-4.0 (hf.co/docs/hub/repositories-licenses).
LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]*")
TASK = "information-retrieval"
PRIVATE = "unknown"  # the type of a data set that is not on the Hub, as in the cards of sentence-transformers


@dataclass(frozen=True)
class CardFacts:
    """What a work directory does not say about its model.

    Args:
        base_model: Repository of the base model; None: the contract's, if that is one.
        licence: The Hub's identifier of the model's licence; None: what the model's README says.
        datasets: Repositories of data sets that it was trained on.

    Raises:
        InputError: A repository or the licence is not in the form that the Hub takes.
    """

    base_model: str | None = None
    licence: str | None = None
    datasets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in [self.base_model, *self.datasets]:
            if name is not None and not REPOSITORY.fullmatch(name):
                raise InputError("not a repository of the Hugging Face Hub", got=name, expected="OWNER/NAME")
        if self.licence is not None and not LICENCE.fullmatch(self.licence):
            raise InputError(
                "not an identifier of a licence",
                got=self.licence,
                expected="one of hf.co/docs/hub/repositories-licenses, for example apache-2.0",
            )


def with_metadata(card: str, facts: CardFacts, metrics: Metrics | None) -> str:
    """Return a model card whose metadata has these facts and, as its model-index, the figures of the tuned model.

    Args:
        card: The card; metadata that it has already is kept unless the facts or figures replace it.
        facts: What the card does not say.
        metrics: The evaluation's figures, if there are any.

    Raises:
        ArtifactError: The card's metadata cannot be read.
    """
    from huggingface_hub.repocard_data import eval_results_to_model_index

    found = HEAD.match(card)
    try:
        head = yaml.safe_load(found[1]) if found else {}
    except yaml.YAMLError as error:
        raise ArtifactError("the metadata of the model card cannot be read", got=str(error)) from error
    body = card[found.end() :] if found else card
    if facts.licence is not None:
        head = {key: value for key, value in head.items() if key != "license_name"} | {"license": facts.licence}
        body = body.replace("The licence is that of the base model.\n", f"Licence: {facts.licence}.\n", 1)
    named = str(head.pop("base_model", ""))
    base = facts.base_model or named
    if REPOSITORY.fullmatch(base) and not Path(base).exists():  # the Hub refuses a card that names a folder
        head = {"base_model": base} | head
    if facts.datasets:
        head["datasets"] = list(facts.datasets)
    if metrics is not None:
        head["model-index"] = eval_results_to_model_index(_title(body), list(_results(metrics)))
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n{body}" if head else body


def _title(body: str) -> str:
    titles = (line.removeprefix("# ") for line in body.splitlines() if line.startswith("# "))
    return next(titles, "tuned")


def _results(metrics: Metrics) -> Iterator["EvalResult"]:
    from huggingface_hub import EvalResult

    for name, entry in metrics.sets.items():
        for metric in HEADLINES:
            value = entry.systems.get("tuned", {}).get(metric)
            if value is not None:
                yield EvalResult(
                    task_type=TASK,
                    task_name="Information Retrieval",
                    dataset_type=PRIVATE,
                    dataset_name=f"{name} ({entry.queries} questions)",
                    dataset_split="test",
                    metric_type=metric.replace("@", "_at_"),  # MTEB's names
                    metric_name=metric_title(metric),
                    metric_value=round(value, 4),
                )
