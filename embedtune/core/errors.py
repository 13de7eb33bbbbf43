"""The errors that embedtune raises. Each says what happened, what was found, what was expected and what to do."""


class EmbedtuneError(Exception):
    """An error that the user can understand and act on.

    Args:
        what: What happened, in one sentence.
        got: The wrong value, if there is one.
        expected: What would have been right, if that can be said.
        fix: What to do about it, if that can be said.
    """

    exit_code = 1

    def __init__(self, what: str, *, got: object = None, expected: object = None, fix: str | None = None) -> None:
        self.what = what
        self.got = got
        self.expected = expected
        self.fix = fix
        lines = [what]
        lines += [f"  got:      {got}"] if got is not None else []
        lines += [f"  expected: {expected}"] if expected is not None else []
        lines += [f"  do:       {fix}"] if fix is not None else []
        super().__init__("\n".join(lines))


class ConfigError(EmbedtuneError):
    """A key, value or combination of values in the configuration is not allowed."""

    exit_code = 2


class InputError(EmbedtuneError):
    """A path, document or dataset given by the user cannot be used."""

    exit_code = 2


class StoreAwayError(InputError):
    """The object store did not answer; the same call may succeed later."""

    exit_code = EmbedtuneError.exit_code


class ArtifactError(EmbedtuneError):
    """An artifact is missing, damaged, or of another schema version."""


class OtherVersionError(ArtifactError):
    """A file was written by a different version of embedtune, in another format."""


class ContractError(EmbedtuneError):
    """An encoder contract is unreadable, or does not match the configuration or the model."""


class EndpointError(EmbedtuneError):
    """The embedding service cannot be used."""


class LLMEndpointError(EmbedtuneError):
    """An LLM endpoint is not configured, or cannot be used at all."""


class GateError(EmbedtuneError):
    """A quality gate failed: a leak, a failed audit, a cost limit, or too many failed items."""

    exit_code = 3
