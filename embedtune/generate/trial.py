"""The requests that show whether an LLM endpoint can do what generate asks of it, for `embedtune doctor`."""

from pydantic import BaseModel

from embedtune.core.config.generate import GenerateSettings
from embedtune.generate.passages import Passage
from embedtune.generate.prompts import prompts_of
from embedtune.generate.questions_to_ask import single_hop_calls
from embedtune.generate.requests import judging_request, writing_request
from embedtune.llm.client import LLMRequest

TEXT = (
    "Tide tables\n\nThe harbour office prints the tide table of the next month on the 20th. High water at the "
    "north quay is 14 minutes later than at the lighthouse. Boats that draw more than 2.4 metres enter only "
    "within two hours of high water, and report on channel 12 before they pass the breakwater."
)
QUESTION = ("When may a boat that draws 3 metres enter the harbour?", "Within two hours of high water.")


def trial_requests(settings: GenerateSettings) -> tuple[LLMRequest[BaseModel], LLMRequest[BaseModel]]:
    """Return a request of the generator and one of the judge, about a passage that needs no documents."""
    passage = Passage("trial", "trial", TEXT, "trial", "train", boilerplate=False)
    (call,) = single_hop_calls([passage], settings, seed=0)
    prompts = prompts_of(settings)
    return writing_request(call, prompts), judging_request(call, [QUESTION] * len(call.slots), prompts)
