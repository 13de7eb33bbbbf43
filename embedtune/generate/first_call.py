"""One call before the passages are embedded, which finds a wrong key or model while nothing is lost yet."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from embedtune.core.config.generate import LLMEndpointSettings
from embedtune.generate.ask_llm import Writers, judging_requests, read_replies
from embedtune.generate.questions_to_ask import QuestionCall
from embedtune.generate.requests import writing_request
from embedtune.llm.budget import Usage
from embedtune.llm.client import LLMClient, identity_of
from embedtune.llm.errors import ItemError


@dataclass(frozen=True)
class FirstCall:
    """The first call of a run, which later finds its replies in the cache.

    Args:
        usage: What it has cost.
        written: Cache key of the reply of the generator; None: there is none.
        judged: The same of the judge.
    """

    usage: Usage = field(default_factory=Usage)
    written: str | None = None
    judged: str | None = None

    @classmethod
    async def of(cls, calls: Sequence[QuestionCall], writers: Writers) -> Self:
        """Write and judge the first questions that no earlier run has paid for.

        Args:
            calls: The question calls about single passages, which are known before anything is embedded.
            writers: Generator and judge.

        Raises:
            LLMEndpointError: An LLM endpoint cannot be used at all.
            GateError: The budget does not allow the call.
        """
        generator, judge, prompts = writers.generator, writers.judge, writers.prompts
        requests = ((call, writing_request(call, prompts)) for call in calls)
        call, request = next((one for one in requests if generator.waiting([one[1]])), (None, None))
        if call is None or request is None:
            return cls()
        written = judged = None
        try:
            reply = await generator.ask(request)
            written = identity_of(generator.settings, request).key
            for score in judging_requests([call], read_replies([call], [reply], writers.models), prompts):
                await judge.ask(score)
                judged = identity_of(judge.settings, score).key
        except ItemError:
            pass  # about this passage, or for now: the run goes on, and sends the request again
        return cls(generator.usage + judge.usage, written, judged)

    def tell(self, generator: LLMClient, judge: LLMClient) -> None:
        """Have the clients of the run know that it has paid for these replies itself."""
        if self.written:
            generator.note_paid(self.written)
        if self.judged:
            judge.note_paid(self.judged)


def patient_once(settings: LLMEndpointSettings) -> LLMEndpointSettings:
    """Return the settings of the first call: it is not sent again if the LLM endpoint is busy or slow."""
    return settings.model_copy(update={"retries": 0, "outage_s": 0.0})
