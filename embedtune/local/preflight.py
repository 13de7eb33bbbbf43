"""Checks before the first stage: what a late stage would refuse after hours of work and paid calls."""

from collections.abc import Set as AbstractSet

from embedtune.core.comparisons import Comparisons
from embedtune.core.config.config import Config


def check_before_start(config: Config, comparisons: Comparisons, stages: AbstractSet[str], *, asks: bool) -> None:
    """Refuse a run that one of its stages would refuse.

    Args:
        config: The configuration.
        comparisons: Further sets and models that evaluate looks at.
        stages: Names of the stages that will run.
        asks: Whether generate will run: finished questions need nobody to write them.

    Raises:
        ConfigError: A label of the proportions is unknown, or no evaluated set has the name that decides.
        EndpointError: No LLM endpoint and no recording is configured.
        ContractError: The champion is not a model with a contract.
    """
    # Imported here: a run that starts at train does not need what writes questions.
    if "generate" in stages:
        from embedtune.generate.recording import require_source
        from embedtune.generate.slots import require_known

        require_known(config.generate)
        if asks:
            require_source(config.generate)
    if "evaluate" in stages:
        from embedtune.core.contract import load_contract
        from embedtune.evaluate.sets import check_names
        from embedtune.evaluate.verdict import deciding_set

        deciding_set(config.evaluate.decide_on, list(comparisons.eval_sets))
        check_names(comparisons.eval_sets)
        if comparisons.champion is not None:
            load_contract(comparisons.champion)
