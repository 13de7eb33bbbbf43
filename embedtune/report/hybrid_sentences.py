"""Hybrid search in words: what a keyword search adds, and what tuning is worth where both are joined."""

from embedtune.core.retrieval.metrics import DECIDING_METRIC
from embedtune.report.evaluation import Evaluation


def hybrid_sentences(evaluation: Evaluation) -> list[str]:
    """Say what tuning is worth in a hybrid search, and what that search is worth in itself; nothing if unknown.

    Args:
        evaluation: The evaluation.
    """
    hybrid = evaluation.deciding.hybrid
    if hybrid is None:
        return []
    base, tuned = (hybrid.systems[system][DECIDING_METRIC] for system in ("base", "tuned"))
    alone = {name: evaluation.deciding.systems[name][DECIDING_METRIC] for name in ("base", "tuned")}
    doubt = {"up": "", "down": ", and that is not chance", "unsure": ", which may be chance"}
    said = [
        f"Many search engines join the results of a model with those of a keyword search (hybrid search). Joined, "
        f"the score is {base:.3f} with the model before tuning and {tuned:.3f} with the tuned one"
        f"{doubt[hybrid.delta[DECIDING_METRIC].direction]}; alone, the models have {alone['base']:.3f} and "
        f"{alone['tuned']:.3f}."
    ]
    if hybrid.change.direction == "up":
        said.append("So join both searches if your search engine can, whichever model you take.")
        if base > alone["tuned"] and tuned > base:
            said.append("That adds more than the tuning does, and both together are best.")
    elif hybrid.change.direction == "down":
        said.append("So do not add a keyword search: it makes these results worse.")
    return said


def joining(evaluation: Evaluation) -> list[str]:
    """Say as a step what a keyword search adds to the tuned model, if it does for certain; else nothing.

    Args:
        evaluation: The evaluation.
    """
    hybrid = evaluation.deciding.hybrid
    if hybrid is None or hybrid.change.direction != "up":
        return []
    joined, alone = hybrid.systems["tuned"][DECIDING_METRIC], evaluation.deciding.systems["tuned"][DECIDING_METRIC]
    return [
        "If your search engine can, join its results with those of a keyword search (hybrid search): the score is "
        f"{joined:.3f} then, instead of {alone:.3f}."
    ]
