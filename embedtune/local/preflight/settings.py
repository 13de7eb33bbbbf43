"""Settings that a late stage would refuse after hours and paid LLM calls."""

from collections.abc import Iterator

from embedtune.core.comparisons import Comparisons
from embedtune.core.config.config import Config
from embedtune.core.errors import ConfigError
from embedtune.local.preflight.finding import Finding, IntendedRun


def check_settings(run: IntendedRun) -> Iterator[Finding]:
    """Raise the errors that the stages would raise for their settings.

    Raises:
        ConfigError: A label in the question proportions is unknown, a prompt file or example query cannot be used,
            or evaluate.decide_on is not an evaluated set.
        InputError: The recording or the reviews do not exist, or a review is not one.
        ContractError: The champion is not a model with a contract.
    """
    # Imported here, so that a run that starts at train does not load the modules that write questions.
    config, comparisons = run.config, run.comparisons
    if "generate" in run.stages:
        from embedtune.generate.further_inputs import further_inputs
        from embedtune.generate.question_slots import require_known_labels

        require_known_labels(config.generate)
        further_inputs(config)
    if "evaluate" in run.stages:
        from embedtune.core.contract import load_contract
        from embedtune.evaluate.sets import check_names
        from embedtune.evaluate.verdict import deciding_set

        deciding_set(config.evaluate, list(comparisons.eval_sets))
        check_names(comparisons.eval_sets)
        if "generate" in run.stages:
            _refuse_shown_questions(config, comparisons)
        if comparisons.champion is not None:
            load_contract(comparisons.champion)
    yield from ()


def _refuse_shown_questions(config: Config, comparisons: Comparisons) -> None:
    """Refuse example queries that are also questions of an evaluation set: training would see their like."""
    from embedtune.core.retrieval.beir import read_records
    from embedtune.core.retrieval.example_queries import read_example_queries, same_queries

    path = config.generate.example_queries
    if path is None:
        return
    shown = read_example_queries(path)
    for name, directory in comparisons.eval_sets.items():
        asked = [query.text for query in read_records(directory / "queries.jsonl")]
        if found := same_queries(shown, asked):
            raise ConfigError(
                f"generate.example_queries has {len(found)} of the questions of the evaluation set {name}",
                got=found[0],
                expected="queries that are in no evaluation set",
                fix=f"remove them from {path}",
            )
