"""What each form costs in which vectors are served: the metrics of the tuned model with it."""

from embedtune.core.records.metrics import FormMetrics
from embedtune.core.retrieval.forms import FULL, SEARCHED, Form
from embedtune.core.retrieval.metrics import DECIDING_METRIC, PerQuery, mean_metrics
from embedtune.evaluate.intervals import DECIMALS, Sampling, paired_intervals
from embedtune.evaluate.result import SetResult


def form_metrics(result: SetResult, dimension: int, sampling: Sampling) -> tuple[FormMetrics, ...]:
    """Return the metrics of one set with each form of vectors, the largest size first and floats first.

    Args:
        result: The set.
        dimension: The full size.
        sampling: How intervals are computed.
    """
    per_query: dict[Form, PerQuery] = {FULL: result.per_query["tuned"]}
    per_query |= {Form(size): smaller.per_query["tuned"] for size, smaller in result.smaller.items()}
    per_query |= {form: result.measured(run) for form, run in result.coarser.items()}
    ordered = sorted(per_query, key=lambda form: (-(form.size or dimension), SEARCHED.index(form.type)))
    return tuple(_metrics(result, form, dimension, per_query[form], sampling) for form in ordered)


def _metrics(
    result: SetResult, form: Form, dimension: int, per_query: PerQuery, sampling: Sampling
) -> FormMetrics:
    rows = [per_query[query.id] for query in result.data.queries]
    cost = None if form == FULL else paired_intervals(rows, result.rows("tuned"), result.units, sampling)
    return FormMetrics(
        size=form.size or dimension,
        type=form.type,
        bytes=form.bytes_of(dimension),
        tuned={name: round(value, DECIMALS) for name, value in mean_metrics(per_query).items()},
        change=cost[DECIDING_METRIC] if cost else None,
    )
