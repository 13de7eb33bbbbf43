"""The self-test of a loaded transformer: do its tokens see those after them?"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedtune.core.contract import EncoderContract
from embedtune.core.errors import ContractError

if TYPE_CHECKING:
    from torch import Tensor

TOKENS, PADDING = 6, 2
MOVED = 1e-5  # of the largest component; a causal model computes the very same numbers


def require_attention(path: Path, contract: EncoderContract, model: Any) -> None:
    """Check that a transformer looks ahead, if its vectors depend on that.

    The mean and the first token need tokens that see the whole text. The last token sees it in a causal model too,
    as in Qwen3-Embedding, so there a causal model is right, unless its configuration says `is_causal: false`.
    A few models were trained with the mean of a causal model's tokens; they say `is_causal: true`, or the user
    does with `base.force`. Then nothing is mistaken, and the saved model says it too.

    Args:
        path: Directory of the model, for the message.
        contract: Its pooling.
        model: The transformer, in evaluation mode.

    Raises:
        ContractError: The last token does not reach the first one.
    """
    declared = getattr(model.config, "is_causal", None)
    if (contract.pooling == "lasttoken" and declared is not False) or (contract.pooling == "mean" and declared):
        return
    # With padding and without: attention kernels and masks take different ways.
    blind = [
        name for name, padding in (("", 0), (" in a padded batch", PADDING)) if not _sees_ahead(model, padding)
    ]
    if blind:
        mean = contract.pooling == "mean"
        raise ContractError(
            f"the model in {path} is causal: its first token does not see its last one{blind[0]}",
            got=f"a {type(model).__name__} under contract.pooling {contract.pooling}",
            expected="attention in both directions, without which these vectors know only the beginning of a text",
            fix='set "is_causal": false in its config.json if it was trained without the causal mask, or '
            "contract.pooling=lasttoken if it was trained with it"
            + ('; base.force=["attention"] if it was trained with it and the mean' if mean else ""),
        )


def _sees_ahead(model: Any, padding: int) -> bool:
    import torch

    config = model.config.get_text_config()
    pad = config.pad_token_id if isinstance(getattr(config, "pad_token_id", None), int) else 0
    step = max(1, config.vocab_size // (TOKENS + 3))
    ids = [number for number in (step * (place + 1) for place in range(TOKENS + 2)) if number != pad]
    with torch.no_grad():
        first, second = (_first_state(model, [*ids[: TOKENS - 1], last], pad, padding) for last in ids[-2:])
    return bool((first - second).abs().max() > MOVED * first.abs().max())


def _first_state(model: Any, ids: list[int], pad: int, padding: int) -> "Tensor":
    import torch

    tokens = torch.tensor([ids + [pad] * padding], device=model.device)
    mask = torch.tensor([[1] * len(ids) + [0] * padding], device=model.device)
    state: Tensor = model(input_ids=tokens, attention_mask=mask, return_dict=True).last_hidden_state[0, 0].float()
    return state
