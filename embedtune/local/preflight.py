"""Checks before the first stage that find early what a later stage would refuse after hours and paid LLM calls."""

from collections.abc import Set as AbstractSet

from embedtune.core.comparisons import Comparisons
from embedtune.core.config.config import Config


def check_before_start(
    config: Config, comparisons: Comparisons, stages: AbstractSet[str], *, asks_llm: bool
) -> None:
    """Raise the errors that the stages of a run would raise later.

    Args:
        config: The configuration.
        comparisons: Additional evaluation sets and models to compare with.
        stages: Names of the stages that will run.
        asks_llm: Whether generate will call the LLM; it will not if its questions are finished.

    Raises:
        ConfigError: A label in the question proportions is unknown, or evaluate.decide_on is not an evaluated set.
        LLMEndpointError: No LLM endpoint and no recording is configured.
        ContractError: The champion is not a model with a contract.
    """
    # Imported here, so that a run that starts at train does not load the modules that write questions.
    if "generate" in stages:
        from embedtune.generate.question_slots import require_known_labels
        from embedtune.generate.reply_source import require_reply_source

        require_known_labels(config.generate)
        if asks_llm:
            require_reply_source(config.generate)
    if "evaluate" in stages:
        from embedtune.core.contract import load_contract
        from embedtune.evaluate.sets import check_names
        from embedtune.evaluate.verdict import deciding_set

        deciding_set(config.evaluate.decide_on, list(comparisons.eval_sets))
        check_names(comparisons.eval_sets)
        if comparisons.champion is not None:
            load_contract(comparisons.champion)
