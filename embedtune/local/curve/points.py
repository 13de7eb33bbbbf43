"""One training of the learning curve: what it trains on, where it is kept, and what it reaches."""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from embedtune.core.artifacts import Artifact, is_current, read_artifact
from embedtune.core.code_version import code_version
from embedtune.core.config.config import Config
from embedtune.core.encoders.precision import device_of
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.errors import EmbedtuneError
from embedtune.core.records.base import read_record, write_record
from embedtune.core.records.curve import CURVE_FOLDER, WHOLE, Kind, QuestionFigures
from embedtune.core.retrieval.beir import RetrievalSet
from embedtune.core.retrieval.metrics import DECIDING_METRIC
from embedtune.core.retrieval.passage_groups import group_of, search_depth
from embedtune.core.stage import Context, StageRun, stage_settings
from embedtune.evaluate.result import SetResult
from embedtune.evaluate.retrieve import dense_run
from embedtune.evaluate.seeds import seed_models
from embedtune.local.curve.shares import share_of
from embedtune.mine import stage as mine
from embedtune.mine.mining_set import MiningSet
from embedtune.train import stage as train

log = logging.getLogger(__name__)
CUT = 10


@dataclass(frozen=True)
class Point:
    """One training.

    Args:
        kind: What there is less of; everything is a share of the questions.
        share: Percent.
        number: 0, or the number of a further training of the same share, which draws and trains with another seed.
    """

    kind: Kind
    share: int
    number: int

    def __str__(self) -> str:
        again = f", training {self.number + 1}" if self.number else ""
        return f"{self.share} % of the {self.kind}{again}"


@dataclass(frozen=True)
class MeasuredOn:
    """A set that every model is measured on.

    Args:
        name: Its name.
        data: Queries, corpus and judgements.
        fingerprint: Identifies all of it.
    """

    name: str
    data: RetrievalSet
    fingerprint: str


@dataclass(frozen=True)
class Workshop:
    """Makes the trainings of one work directory and keeps what they reach in its folder `curve`.

    What a training is made from names its folder, so that one that is finished is not repeated, and one that was
    interrupted goes on.

    Args:
        work: The work directory.
        dataset: Its dataset artifact.
        data: The training set in it.
        context: The configuration and everything else that stages run with.
    """

    work: Path
    dataset: Artifact
    data: MiningSet
    context: Context

    def part(self, point: Point) -> MiningSet:
        """Return what a training trains on."""
        return share_of(self.data, point.kind, point.share, self.context.config.seed + point.number)

    def is_measured(self, point: Point | None, sets: Iterable[MeasuredOn]) -> bool:
        """Return whether the figures of a training, or of the base model, are known for all sets."""
        return all(self._file(point, one).is_file() for one in sets)

    def own_model(self, point: Point) -> Path | None:
        """Return the model that the last run trained on everything, if the same training would make it again."""
        if point.share != WHOLE:
            return None
        model, this = self.work / "model", StageRun("train", self.work / "model", self.context)
        try:
            triplets = read_artifact(self.work / "triplets", "triplets")
            mined = StageRun("mine", self.work / "triplets", self.context).provenance({"dataset": self.dataset})
            if not is_current(triplets.path, "triplets", mined):
                return None
            made_from = this.provenance({"triplets": triplets, "dataset": self.dataset})
            if not is_current(model, "model", made_from):
                return None
            path = read_artifact(model, "model").path
        except EmbedtuneError as error:
            log.debug("the model of the last run is not used: %s", error)
            return None
        return path if point.number == 0 else seed_models(path).get(f"seed-{self._seed(point)}")

    def model(self, point: Point) -> Path:
        """Return the model of a training, after training it if need be.

        Raises:
            EmbedtuneError: As for mine and train; the error names the training.
        """
        if (own := self.own_model(point)) is not None:
            log.info("curve: %s: the model of the last run", point)
            return own
        folder, context = self._folder(point), self._context(point)
        part = self.part(point)
        log.info("curve: %s: training on %s questions", point, f"{len(part.queries):,}")
        with _named(point):
            inputs: dict[str, Artifact | str] = {"dataset": self.dataset, "share": str(point)}
            this = StageRun("mine", folder / "triplets", context)
            this.read()
            this.write(inputs, lambda path: mine.mine_and_write(part, path, context))
            train.run(folder / "triplets", self.dataset.path, folder / "model", context)
        return folder / "model"

    def measured(self, point: Point | None, model: Path, sets: Iterable[MeasuredOn]) -> None:
        """Measure a model on the sets whose figures are not known, with the whole corpus."""
        config = self.context.config
        encoder = TorchEncoder(model, config.contract, config.runtime, self.context.cache / "embeddings")
        for one in sets:
            file = self._file(point, one)
            if file.is_file():
                continue
            depth = search_depth(group_of(one.data.corpus), CUT)
            run = dense_run(encoder, one.data, depth, device_of(config.runtime), self.context.progress)
            rows = SetResult(one.name, one.data, {"model": run}, (CUT,)).per_query["model"]
            values = {query: row[DECIDING_METRIC] for query, row in rows.items()}
            file.parent.mkdir(parents=True, exist_ok=True)
            draft = file.with_suffix(".draft")
            write_record(draft, QuestionFigures(set_name=one.name, values=values))
            draft.replace(file)

    def figures(self, point: Point | None, one: MeasuredOn) -> Mapping[str, float]:
        """Return nDCG@10 by question; None is the base model.

        Raises:
            ArtifactError: The file is damaged, or of another version.
        """
        return read_record(self._file(point, one), QuestionFigures).values

    def _seed(self, point: Point) -> int:
        return self.context.config.seed + point.number

    def _context(self, point: Point) -> Context:
        return replace(self.context, config=_one_training(self.context.config, self._seed(point)))

    def _folder(self, point: Point | None) -> Path:
        """Return the folder of a training, named by everything that it depends on."""
        config = self.context.config if point is None else self._context(point).config
        made_from: list[object] = [config.contract.hash, stage_settings(config, "mine")["runtime"]]
        if point is not None:
            settings = {stage: stage_settings(config, stage) for stage in ("mine", "train")}
            code = [code_version(f"embedtune.{stage}.stage") for stage in settings]
            made_from += [str(point), config.seed, self.dataset.fingerprint, settings, code]
        digest = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:12]
        name = "base" if point is None else f"{point.kind}-{point.share:03}-{point.number}"
        return self.work / CURVE_FOLDER / f"{name}-{digest}"

    def _file(self, point: Point | None, one: MeasuredOn) -> Path:
        made_from = json.dumps([one.fingerprint, code_version("embedtune.evaluate.retrieve")])
        return self._folder(point) / f"{hashlib.sha256(made_from.encode()).hexdigest()[:12]}.json"


def _one_training(config: Config, seed: int) -> Config:
    settings = config.train.model_copy(update={"seeds": 1})
    return config.model_copy(update={"seed": seed, "train": settings})


@contextmanager
def _named(point: Point) -> Iterator[None]:
    """Name the training in the first line of an error."""
    try:
        yield
    except EmbedtuneError as error:
        raise type(error)(
            f"{point}: {error.what}", got=error.got, expected=error.expected, fix=error.fix
        ) from error
