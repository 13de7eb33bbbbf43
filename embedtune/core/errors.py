"""The errors embedtune raises. Each says what happened, what was got, what was expected and what to do."""


class EmbedtuneError(Exception):
    """Something that the user can understand and act on.

    Args:
        what: One sentence that says what happened.
        got: The offending value, if there is one.
        expected: What would have been right.
        fix: What to do about it.
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
    """A configuration value, key or combination is not allowed."""

    exit_code = 2


class InputError(EmbedtuneError):
    """A path, document or dataset that the user named cannot be used."""

    exit_code = 2


class ArtifactError(EmbedtuneError):
    """An artifact is missing, damaged, or of another schema version."""


class ContractError(EmbedtuneError):
    """Two parts disagree about the encoder contract."""


class EndpointError(EmbedtuneError):
    """The embedding service cannot be used."""


class LLMEndpointError(EmbedtuneError):
    """An LLM endpoint is not configured, or cannot be used at all."""


class GateError(EmbedtuneError):
    """A quality gate failed: a leak, a bad audit, a cost ceiling, too many failed items."""

    exit_code = 3
