"""The LLM endpoints: whether generator and judge answer a request in the form that generate will send."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from pydantic import BaseModel

from embedtune.core.config.generate import LLMEndpointSettings
from embedtune.core.errors import EmbedtuneError, InputError, LLMEndpointError
from embedtune.core.formatting import duration
from embedtune.generate.reply_source import judge_settings, recording_path, require_reply_source
from embedtune.generate.trial import trial_requests
from embedtune.llm.client import LLMRequest
from embedtune.llm.errors import ItemError, SlowReply
from embedtune.llm.probe import LLMEndpointReport, probe_llm_endpoint
from embedtune.llm.wire import shown_url
from embedtune.local.preflight.finding import Finding, IntendedRun, refused
from embedtune.local.preflight.network import connects

# A call that takes this share of its time limit when it is alone will be too slow among others.
NEAR_LIMIT = 0.5


@dataclass(frozen=True)
class _Trial:
    """A request of the run, and the LLM endpoint that it is sent to."""

    role: str
    section: str
    settings: LLMEndpointSettings
    key: str | None = field(repr=False)
    request: LLMRequest[BaseModel]

    @property
    def who(self) -> str:
        return f"{self.settings.model} at {shown_url(self.settings)}"


def check_llm_endpoints(run: IntendedRun) -> Iterator[Finding]:
    """Send each LLM endpoint one request; a judge that is the generator gets one only if there is time.

    Raises:
        LLMEndpointError: No LLM endpoint is configured.
    """
    settings = run.config.generate
    if not run.asks_llm:
        return
    try:
        recording = recording_path(settings)
    except InputError as error:
        yield refused("recording", error)
        return
    if recording is not None:
        yield Finding("fine", "LLM endpoint", f"not used: the recording {settings.recording} is replayed")
        return
    require_reply_source(settings)
    write, score = trial_requests(settings)
    own = settings.judge is not None
    trials = [_Trial("generator", "generate.llm", settings.llm, run.secrets.llm_api_key, write)]
    if own or run.thorough:
        key = run.secrets.judge_api_key if own else run.secrets.llm_api_key
        section = "generate.judge" if own else "generate.llm"
        trials.append(_Trial("judge", section, judge_settings(settings), key, score))
    for trial in trials:
        yield _check(trial, run)


def _check(trial: _Trial, run: IntendedRun) -> Finding:
    if trial.settings.batch == "files":
        return Finding("note", trial.role, f"not tested: {trial.settings.model} answers files of requests")
    if run.config.generate.max_cost == 0 and (trial.settings.price_in or trial.settings.price_out):
        return Finding("note", trial.role, f"not tested: {trial.who} costs money, and generate.max_cost is 0")
    try:
        report = probe_llm_endpoint(
            trial.settings,
            trial.key,
            [trial.request],
            trial.section,
            patience_s=run.patience_s,
            test_schema=run.thorough,
        )
    except SlowReply as slow:
        return _slow(trial, slow)
    except ItemError as error:
        return _no_reply(trial, error, thorough=run.thorough)
    except EmbedtuneError as error:
        return refused(trial.role, error)
    return _answered(trial, report)


def _slow(trial: _Trial, slow: SlowReply) -> Finding:
    """Return the finding about an LLM endpoint that takes its time, or is not there at all."""
    limit = trial.settings.timeout_s
    if problem := connects(trial.settings.base_url or ""):
        error = LLMEndpointError(
            f"the LLM endpoint {shown_url(trial.settings)} cannot be reached",
            got=problem,
            fix=f"check {trial.section}.base_url, the network and its firewalls, or start the server",
        )
        return refused(trial.role, error)
    found = f"{trial.who} is there, but has not replied within {duration(slow.waited_s)}"
    if slow.waited_s < limit:
        return Finding("fine", trial.role, f"{found}; a call may take {duration(limit)}")
    fix = f"raise {trial.section}.timeout_s ({limit:g}), or use a faster server or a smaller model"
    return Finding("note", trial.role, found, fix)


def _no_reply(trial: _Trial, error: ItemError, *, thorough: bool) -> Finding:
    """Return the finding about an LLM endpoint that answers, but not this request.

    For a run it is a note: one reply that is wrong, or a server that is busy now, proves little.
    """
    found = f"{trial.who}: {error.kind} ({error.detail})"
    if error.transient:
        return Finding("note", trial.role, found, "it is busy or failing now: a run tries again for some time")
    fix = error.fix or "check the log of the server, or use another model"
    return Finding("wrong" if thorough else "note", trial.role, found, fix, error)


def _answered(trial: _Trial, report: LLMEndpointReport) -> Finding:
    found = f"{trial.who}: {report.tokens_per_s or 0:.0f} tokens/s, {duration(report.latency_s)} per call"
    if report.latency_s > NEAR_LIMIT * trial.settings.timeout_s:
        fix = (
            f"raise {trial.section}.timeout_s ({trial.settings.timeout_s:g}), or lower {trial.section}.concurrency"
            f" ({trial.settings.concurrency}): calls that are sent together take longer"
        )
        return Finding("note", trial.role, found, fix)
    if report.json_schema is None:
        return Finding("fine", trial.role, found)
    if not report.json_schema:
        return Finding(
            "note",
            trial.role,
            f"{found}; does not enforce JSON schemas ({report.form})",
            "usable: the schema goes into the prompt, and more replies need repair; "
            "a server with guided decoding is better",
        )
    return Finding("fine", trial.role, f"{found}; enforces JSON schemas ({report.form})")
