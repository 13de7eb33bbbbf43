"""How known LLM servers refuse, fail and reply, for the test server in `openai_server.py`.

The words and forms are those of their documentation or of public reports of their errors.
"""

import json
from collections.abc import Callable

from tests.support.openai_replies import Body, Call, built_reply, completion
from tests.support.openai_responses import Response, error_response, json_response, text_response

Provider = Callable[[Call], Response | None]


def structure(call: Call) -> str:
    return str(call.body.get("response_format", {}).get("type", "none"))


def is_told(call: Call) -> bool:
    """Return whether the schema is in the prompt."""
    return any("JSON schema" in str(message["content"]) for message in call.body["messages"])


def wrong(message: str, param: str | None = None, code: str | None = None, status: int = 400) -> Response:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return json_response(status, {"error": error})


def openai_reasoning(call: Call) -> Response | None:
    if "max_tokens" in call.body:
        words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'"
        return wrong(f"{words} instead.", "max_tokens", "unsupported_parameter")
    if call.body.get("temperature", 1) != 1:
        given = call.body["temperature"]
        words = f"Unsupported value: 'temperature' does not support {given} with this model. Only the default (1)"
        return wrong(f"{words} value is supported.", "temperature", "unsupported_value")
    if "top_p" in call.body:
        words = "Unsupported parameter: 'top_p' is not supported with this model."
        return wrong(words, "top_p", "unsupported_parameter")
    return None


def claude(call: Call) -> Response | None:
    if {"temperature", "top_p"} <= set(call.body):
        words = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
        return json_response(400, {"type": "error", "error": {"type": "invalid_request_error", "message": words}})
    return None


def claude_without_sampling(call: Call) -> Response | None:
    for name in ("temperature", "top_p"):
        if name in call.body:
            return wrong(f"`{name}` is deprecated for this model.")
    return None


def mistral(call: Call) -> Response | None:
    if "seed" in call.body:
        problem = {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}
        message = {"detail": [{**problem, "input": 7}]}
        return json_response(422, {"object": "error", "message": message, "type": "invalid_request_error"})
    if call.body.get("temperature") == 0 and call.body.get("top_p", 1) != 1:
        words = "top_p must be 1 when using greedy sampling."
        return json_response(400, {"object": "error", "message": words, "type": "invalid_request_error"})
    return None


def openrouter(call: Call) -> Response | None:
    if "temperature" not in call.body:
        return None
    raw = json.dumps({"error": {"message": "`temperature` is deprecated for this model."}})
    error = {"message": "Provider returned error", "code": 400, "metadata": {"raw": raw, "provider_name": "P"}}
    return json_response(400, {"error": error})


def openrouter_parameters(*supported: str) -> Provider:
    """OpenRouter with `provider.require_parameters`, for a model whose providers know only these parameters."""

    def provider(call: Call) -> Response | None:
        sent = {"top_p", "temperature", "seed"} & set(call.body) | ({structure(call)} - {"none"})
        if sent <= set(supported):
            return None
        words = (
            "No endpoints found that can handle the requested parameters. To learn more about provider routing, "
        )
        return json_response(404, {"error": {"message": words + "visit: https://openrouter.ai/docs", "code": 404}})

    return provider


def no_system_role(call: Call) -> Response | None:
    if call.body["messages"][0]["role"] == "system":
        return json_response(
            400, {"object": "error", "message": "System role not supported", "type": "BadRequestError"}
        )
    return None


def refusing_schema(response: Callable[[], Response]) -> Provider:
    return lambda call: response() if structure(call) == "json_schema" else None


def only_text(call: Call) -> Response | None:
    if structure(call) != "none":
        return json_response(400, {"error": "'response_format.type' must be 'text'"})
    return None


SCHEMA_REFUSALS: dict[str, Provider] = {
    "DeepSeek": refusing_schema(lambda: wrong("This response_format type is unavailable now")),
    "words": refusing_schema(lambda: json_response(400, {"error": "response_format is not supported"})),
    "detail": refusing_schema(lambda: json_response(422, {"detail": "json_schema is not supported"})),
    "FastAPI": refusing_schema(
        lambda: json_response(
            422, {"detail": [{"loc": ["body", "response_format", "type"], "msg": "Input should be 'text'"}]}
        )
    ),
    "text": refusing_schema(lambda: text_response(400, "response_format json_schema is not supported")),
    "vLLM": refusing_schema(
        lambda: json_response(400, {"object": "error", "message": "guided decoding is off", "code": 400})
    ),
    "Gemini": refusing_schema(
        lambda: json_response(
            400, [{"error": {"code": 400, "message": "Unknown name at 'generation_config.response_schema'"}}]
        )
    ),
    "llama.cpp": refusing_schema(lambda: error_response(500, "failed to parse grammar")),
    "LM Studio": only_text,
}


def moderating(word: str, response: Response) -> Provider:
    """Return a server that refuses what contains a word."""
    return lambda call: response if word in str(call.body["messages"]) else None


OPENROUTER_FLAG = json_response(
    403,
    {
        "error": {
            "code": 403,
            "message": 'The model requires moderation. Your input was flagged for "violence".',
            "metadata": {"reasons": ["violence"], "flagged_input": "…"},
        }
    },
)
AZURE_FILTER = json_response(
    400,
    {
        "error": {
            "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management "
            "policy. Please modify your prompt and retry.",
            "code": "content_filter",
            "innererror": {"code": "ResponsibleAIPolicyViolation"},
        }
    },
)
AZURE_EMPTY = json_response(
    200, {"id": "x", "object": "chat.completion", "created": 0, "choices": [], "prompt_filter_results": [{}]}
)
PLAIN_403 = json_response(403, {"error": {"message": "Forbidden"}})
VLLM_TOO_LONG = json_response(
    400,
    {
        "error": {
            "message": "'max_tokens' or 'max_completion_tokens' is too large: 2048. This model's maximum context "
            "length is 4096 tokens and your request has 3000 input tokens.",
            "type": "BadRequestError",
        }
    },
)
LLAMA_CPP_TOO_LONG = json_response(
    500, {"error": {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}}
)
TGI_TOO_LONG = json_response(
    422,
    {
        "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 3000 "
        "`inputs` tokens and 2048 `max_new_tokens`",
        "error_type": "validation",
    },
)
MISWRITTEN = {
    "Groq": wrong(
        "Failed to validate JSON. See 'failed_generation' for more details.", None, "json_validate_failed"
    ),
    "Cloudflare": json_response(
        400, {"errors": [{"message": "AiError: JSON Mode couldn't be met", "code": 5024}]}
    ),
    "a gateway": json_response(400, {"error": "JSON mode could not be met"}),
    "a router": json_response(422, {"detail": "The model did not produce valid JSON for this response_format"}),
}


def unable_to_enforce(refused: Response) -> Provider:
    """Return a server that checks what its model writes, which never is what was asked for."""
    return lambda call: refused if structure(call) != "none" else None


RATE_LIMIT_IN_200 = json_response(
    200, {"error": {"message": "upstream is rate limited", "code": 429}, "user_id": "u"}
)


def replying(form: Callable[[str], Body]) -> Provider:
    """Return a server whose message has a form of its own."""

    def respond(call: Call) -> Response:
        body = completion("", None, call)
        body["choices"][0]["message"] = {"role": "assistant", **form(built_reply(call))}
        return json_response(200, body)

    return respond


THOUGHT = 'Perhaps {"words": "no", "score": 1}, or {neither}.'
REPLY_FORMS: dict[str, Provider] = {
    "Mistral": replying(
        lambda text: {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]},
                {"type": "text", "text": text},
            ]
        }
    ),
    "vLLM": replying(lambda text: {"content": None, "reasoning_content": text}),
    "vLLM, later": replying(lambda text: {"content": "", "reasoning": text}),
    "Qwen": replying(lambda text: {"content": f"<think>{THOUGHT}</think>\n{text}"}),
    "Qwen, opened by the template": replying(lambda text: {"content": f"{THOUGHT}</think>{text}"}),
    "Magistral": replying(lambda text: {"content": f"[THINK]{THOUGHT}[/THINK]{text}"}),
    "gpt-oss": replying(
        lambda text: {
            "content": f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final "
            f"<|constrain|>json<|message|>{text}<|return|>"
        }
    ),
    "remarks": replying(lambda text: {"content": f"As {{json}}:\n{text}\nReplace {{it}} as you like."}),
}


def ignoring_schema(call: Call) -> Response | None:
    """Behave as a server that does not know response_format: only what is in the prompt counts."""
    if is_told(call):
        return None
    return json_response(200, completion('{"searches": [{"query": "pump"}]}', None, call))
