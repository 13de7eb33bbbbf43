"""The learning curve of a work directory: trains on shares of it, compares the models on the same questions."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from embedtune.core.artifacts import read_artifact
from embedtune.core.comparisons import SYNTHETIC
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.errors import ConfigError
from embedtune.core.records.curve import WHOLE, CurvePoint, Kind, LearningCurve, SetCurve
from embedtune.core.records.evaluation import Interval
from embedtune.core.retrieval.metrics import DECIDING_METRIC
from embedtune.core.stage import Context
from embedtune.evaluate.intervals import DECIMALS, DIFFERENCE, Sampling, Units, paired_intervals
from embedtune.evaluate.result import SetResult
from embedtune.evaluate.sets import check_names, fingerprint, load_set
from embedtune.evaluate.verdict import deciding_set
from embedtune.local.curve.cost import CurveCost, curve_cost
from embedtune.local.curve.points import MeasuredOn, Point, Workshop
from embedtune.local.curve.shares import document_families
from embedtune.mine.mining_set import read_mining_set
from embedtune.report.learning_curve import WORTHWHILE, answer, conclusion

log = logging.getLogger(__name__)


class Curve:
    """A learning curve that is to be measured.

    Args:
        work: A work directory with a dataset.
        shares: Percent of the questions and of the documents to train on; everything is always measured too.
        kinds: What there is to be less of.
        eval_sets: BEIR directories by name, in addition to the dataset's own test questions.
        context: The configuration and everything else that stages run with. `train.seeds` is the number of
            trainings per share, each with another draw.

    Raises:
        ConfigError: A share is not a percentage below 100, or there is none; or evaluate.decide_on is not one of
            the sets.
        InputError: A set cannot be read, or no question is about a share of the documents.
        ArtifactError: The dataset is missing or damaged.
        GateError: There are no train questions.
    """

    def __init__(
        self,
        work: Path,
        shares: Sequence[int],
        kinds: Sequence[Kind],
        eval_sets: Mapping[str, Path],
        context: Context,
    ) -> None:
        if not shares or not kinds or not all(0 < share < WHOLE for share in shares):
            raise ConfigError(
                "there is no curve to measure",
                got=f"shares {list(shares)} of {list(kinds)}",
                expected="at least one share from 1 to 99 % of the questions or of the documents",
            )
        self._decided_on = deciding_set(context.config.evaluate, list(eval_sets))
        check_names(eval_sets)
        dataset = read_artifact(work / "dataset", "dataset")
        self._shop = Workshop(work, dataset, read_mining_set(dataset.path), context)
        self._sets = self._load(dataset.fingerprint, eval_sets)
        self._trainings = context.config.train.seeds
        self._shares = (*sorted({*shares}), WHOLE)
        self._kinds = tuple(kinds)
        for point in self._points():
            self._shop.part(point)  # a share without questions is refused before anything is trained

    def cost(self) -> CurveCost:
        """Measure how long the trainings take that are not finished."""
        return curve_cost(self._shop, self._points(), self._sets)

    def measure(self) -> LearningCurve:
        """Train and measure whatever is not finished, one model after the other, and return the curve.

        Raises:
            EmbedtuneError: As for mine and train; the error names the share.
        """
        points, context = self._points(), self._shop.context
        config = context.config
        if not self._shop.is_measured(None, self._sets):
            base = resolve_base(config.contract, config.base, context.cache, config.storage, context.secrets)
            self._shop.measured(None, base, self._sets)
        with context.progress.task("curve", len(points), "trainings") as task:
            for point in points:
                if self._shop.is_measured(point, self._sets):
                    task.skip()
                    continue
                trained = self._shop.own_model(point) is not None
                self._shop.measured(point, self._shop.model(point), self._sets)
                # To measure a model that exists says nothing about how long a training takes.
                task.skip() if trained else task.advance()
        sets = tuple(self._set_curve(one) for one in self._sets)
        decides = next(one for one in sets if one.name == self._decided_on)
        few = Sampling.of(config.evaluate, config.seed).fewest_units
        answers = {kind: answer(kind, decides.curves[kind], few) for kind in self._kinds}
        return LearningCurve(
            metric=DECIDING_METRIC,
            confidence=config.evaluate.confidence,
            worthwhile=WORTHWHILE,
            trainings=self._trainings,
            decided_on=self._decided_on,
            conclusion=conclusion({kind: one.judgement for kind, one in answers.items()}, self._trainings),
            answers=answers,
            sets=sets,
        )

    def _load(self, dataset: str, eval_sets: Mapping[str, Path]) -> list[MeasuredOn]:
        context = self._shop.context
        settings, paths = context.config.ingest, {SYNTHETIC: self._shop.dataset.path, **eval_sets}
        return [
            MeasuredOn(
                name,
                load_set(name, path, settings, context.progress),
                dataset if name == SYNTHETIC else fingerprint(path, settings),
            )
            for name, path in paths.items()
        ]

    def _points(self) -> list[Point]:
        """Return every training, each once; whatever there is less of, everything is the same."""
        places = [(kind, share) for kind in self._kinds for share in self._shares if share < WHOLE]
        return [point for place in [("questions", WHOLE), *places] for point in self._trainings_of(*place)]

    def _trainings_of(self, kind: Kind, share: int) -> list[Point]:
        kind = "questions" if share == WHOLE else kind
        return [Point(kind, share, number) for number in range(self._trainings)]

    def _set_curve(self, one: MeasuredOn) -> SetCurve:
        base = self._shop.figures(None, one)
        return SetCurve(
            name=one.name,
            questions=len(one.data.queries),
            base=round(math.fsum(base.values()) / len(base), DECIMALS),
            curves={kind: self._curve(kind, one, base) for kind in self._kinds},
        )

    def _curve(self, kind: Kind, one: MeasuredOn, base: Mapping[str, float]) -> tuple[CurvePoint, ...]:
        found: list[CurvePoint] = []
        before: list[Mapping[str, float]] | None = None
        units = SetResult(one.name, one.data, {}, ()).units
        names = [query.id for query in one.data.queries]
        config = self._shop.context.config
        sampling = Sampling.of(config.evaluate, config.seed)
        for share in self._shares:
            points = self._trainings_of(kind, share)
            reached = [self._shop.figures(point, one) for point in points]
            parts = [self._shop.part(point) for point in points]
            found.append(
                CurvePoint(
                    share=share,
                    questions=round(sum(len(part.queries) for part in parts) / len(parts)),
                    families=round(sum(document_families(part) for part in parts) / len(parts)),
                    gain=difference(reached, [base] * len(reached), names, units, sampling),
                    step=None if before is None else difference(reached, before, names, units, sampling),
                )
            )
            before = reached
        return tuple(found)


def difference(
    ours: Sequence[Mapping[str, float]],
    theirs: Sequence[Mapping[str, float]],
    names: Sequence[str],
    units: Units,
    sampling: Sampling,
) -> Interval:
    """Return the paired difference of two points of the curve, each the mean of its trainings.

    The choice of the questions and chance in the draws and trainings are independent, so their half-widths add up
    in squares. That of the trainings is t·s/√n: s is the standard deviation of the n differences between trainings
    of the same number, which have the same seed and whose draws are nested, t the quantile of Student's
    distribution with n - 1 degrees of freedom. With one training, it is not known and left out.

    Args:
        ours: nDCG@10 by question, for each training.
        theirs: The same of the other point, as many.
        names: The questions, in the order of the units.
        units: The document families of the questions.
        sampling: How intervals are computed.
    """
    rows = [_mean_rows(side, names) for side in (ours, theirs)]
    interval = paired_intervals(rows[0], rows[1], units, sampling)[DECIDING_METRIC]
    if len(ours) < 2 or interval.unbounded:
        return interval
    changes = [
        math.fsum(a[name] - b[name] for name in names) / len(names) for a, b in zip(ours, theirs, strict=True)
    ]
    margin = _margin(changes, sampling.confidence)
    low = interval.mean - math.hypot(interval.mean - interval.low, margin)
    high = interval.mean + math.hypot(interval.high - interval.mean, margin)
    least, most = DIFFERENCE
    return interval.model_copy(
        update={"low": round(max(low, least), DECIMALS), "high": round(min(high, most), DECIMALS)}
    )


def _mean_rows(trainings: Sequence[Mapping[str, float]], names: Sequence[str]) -> list[dict[str, float]]:
    return [{DECIDING_METRIC: math.fsum(one[name] for one in trainings) / len(trainings)} for name in names]


def _margin(changes: Sequence[float], confidence: float) -> float:
    from scipy.stats import t

    mean = math.fsum(changes) / len(changes)
    variance = math.fsum((change - mean) ** 2 for change in changes) / (len(changes) - 1)
    return float(t.ppf((1.0 + confidence) / 2.0, len(changes) - 1)) * math.sqrt(variance / len(changes))
