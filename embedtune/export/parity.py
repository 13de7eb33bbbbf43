"""Checks the exported vectors against PyTorch's, text by text and by nDCG@10 on the dev questions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedtune.core.artifacts import Figure
from embedtune.core.config.export import ExportSettings, Precision
from embedtune.core.encoders.precision import int8_saturates
from embedtune.core.errors import GateError
from embedtune.core.records.engine import ComparedText, Parity, TokenRange, VariantParity
from embedtune.core.retrieval.metrics import DECIDING_METRIC
from embedtune.export.parity_texts import Sample

WORST = 5


@dataclass(frozen=True)
class Variant:
    """The measurements of one precision.

    Args:
        precision: Precision of the weights and matrix products.
        megabytes: Size of the graph with its weights.
        cosines: Cosine of each sample with PyTorch; -1 for a vector that is not finite or not of unit length.
        ndcg: nDCG@10 on dev; None without dev questions.
    """

    precision: Precision
    megabytes: float
    cosines: npt.NDArray[np.float64]
    ndcg: float | None


@dataclass(frozen=True)
class Measurements:
    """The measurements of an engine and its variants, next to PyTorch's.

    Args:
        settings: Target, shipped precision and limits.
        samples: The compared texts.
        queries: Number of dev questions.
        ndcg: PyTorch's nDCG@10 on them; None if there are none.
        variants: The measured variants, the shipped precision among them.
    """

    settings: ExportSettings
    samples: Sequence[Sample]
    queries: int
    ndcg: float | None
    variants: Sequence[Variant]

    def record(self) -> Parity:
        """Return the content of parity.json."""
        tokens = [sample.tokens for sample in self.samples]
        return Parity(
            target=self.settings.target,
            precision=self.settings.precision,
            texts=len(self.samples),
            tokens=TokenRange(least=min(tokens), most=max(tokens)),
            dimensions=tuple(sorted({sample.dimension for sample in self.samples}, reverse=True)),
            dev_queries=self.queries,
            max_ndcg_drift=self.settings.max_ndcg_drift,
            pytorch_ndcg=self.ndcg,
            variants={variant.precision: self._variant_record(variant) for variant in self.variants},
        )

    def _variant_record(self, variant: Variant) -> VariantParity:
        return VariantParity(
            megabytes=round(variant.megabytes, 2),
            required_cosine=self.settings.min_cosine(variant.precision),
            min_cosine=float(variant.cosines.min()),
            mean_cosine=float(variant.cosines.mean()),
            ndcg=variant.ndcg,
            ndcg_cost=self.cost(variant),
            passed=not self.complaints(variant),
            worst=tuple(self.worst(variant)),
        )

    def cost(self, variant: Variant) -> float | None:
        """Return how much nDCG@10 a variant loses compared with PyTorch."""
        return None if self.ndcg is None or variant.ndcg is None else self.ndcg - variant.ndcg

    def worst(self, variant: Variant) -> list[ComparedText]:
        """Return the texts with the lowest cosine, the worst first."""
        order = np.argsort(variant.cosines, kind="stable")[:WORST].tolist()
        return [
            ComparedText(
                cosine=float(variant.cosines[number]),
                kind=self.samples[number].kind,
                tokens=self.samples[number].tokens,
                dimension=self.samples[number].dimension,
                text=self.samples[number].text[:200],
            )
            for number in order
        ]

    def complaints(self, variant: Variant) -> list[str]:
        """Return what is wrong with a variant; the list is empty if it may be shipped."""
        required, cost = self.settings.min_cosine(variant.precision), self.cost(variant)
        below = int((variant.cosines < required).sum())
        complaints = [f"{below} of {len(variant.cosines)} texts below cosine {required}"] if below else []
        if cost is not None and abs(cost) > self.settings.max_ndcg_drift:
            complaints.append(f"{DECIDING_METRIC} on dev {variant.ndcg:.4f} instead of {self.ndcg:.4f}")
        return complaints

    def metrics(self) -> dict[str, Figure]:
        """Return the figures of the report."""
        figures: dict[str, Figure] = {
            "target": self.settings.target,
            "precision": self.settings.precision,
            "megabytes": round(self.shipped.megabytes, 1),
            "texts": len(self.samples),
        }
        shipped_first = sorted(self.variants, key=lambda variant: variant is not self.shipped)
        for variant in shipped_first:
            figures[f"min_cosine_{variant.precision}"] = round(float(variant.cosines.min()), 6)
            if (cost := self.cost(variant)) is not None:
                figures[f"{DECIDING_METRIC}_cost_{variant.precision}"] = round(cost, 4)
        return figures

    def notes(self) -> tuple[str, ...]:
        """Return the remarks for the report's readers."""
        notes = [] if self.queries else ["there are no dev questions: the engine's cost in nDCG was not measured"]
        notes += [
            f"{variant.precision} may not be shipped: {'; '.join(complaints)}"
            for variant in self.variants
            if (complaints := self.complaints(variant))
        ]
        return tuple(notes)

    @property
    def shipped(self) -> Variant:
        """The variant of the configured precision."""
        return next(variant for variant in self.variants if variant.precision == self.settings.precision)


def require_parity(found: Measurements) -> None:
    """Refuse an engine whose vectors are not the model's.

    Raises:
        GateError: A text is below its limit, or retrieval changed; the message names the worst texts.
    """
    variant = found.shipped
    complaints = found.complaints(variant)
    if not complaints:
        return
    worst = "".join(
        f"\n    {entry.cosine:.6f} {entry.kind} of {entry.tokens} tokens at {entry.dimension} "
        f"dimensions: {entry.text[:60]!r}"
        for entry in found.worst(variant)
    )
    settings = found.settings
    raise GateError(
        f"the exported {variant.precision} encoder does not return the model's vectors",
        got="; ".join(complaints) + worst,
        expected=f"cosine >= {settings.min_cosine(variant.precision)} for each of {len(found.samples)} texts, "
        f"{DECIDING_METRIC} within {settings.max_ndcg_drift}",
        fix=_fix(variant.precision, settings),
    )


def _fix(precision: Precision, settings: ExportSettings) -> str:
    if precision == "fp32":
        return "please report this model: its graph does not compute the same as its PyTorch code"
    deliberately = "loosen a limit only deliberately (export.min_cosine_int8)"
    if precision == "int8" and settings.target != "tensorrt" and int8_saturates():
        return (
            "this CPU has no VNNI, so that its 8-bit products saturate: export on one that has it, or use "
            f"export.precision=fp32, which is exact; {deliberately}"
        )
    return f"use export.precision=fp32, which is exact; {deliberately}"
