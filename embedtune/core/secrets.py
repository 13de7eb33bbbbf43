"""Credentials: entry points read them from the environment and pass them on; no file ever contains them."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Secrets:
    """The credentials of one run, which `repr` does not show."""

    llm_api_key: str | None = field(default=None, repr=False)
    judge_api_key: str | None = field(default=None, repr=False)
    endpoint_api_key: str | None = field(default=None, repr=False)
    s3_access_key: str | None = field(default=None, repr=False)
    s3_secret_key: str | None = field(default=None, repr=False)


def secrets_from(environment: Mapping[str, str], *, llm_key_name: str, judge_key_name: str) -> Secrets:
    """Read the credentials from environment variables.

    Args:
        environment: The variables, usually `os.environ`.
        llm_key_name: Name of the variable with the generator's API key (`generate.llm.api_key_env`).
        judge_key_name: Name of the variable with the judge's API key (`generate.judge.api_key_env`).
    """
    return Secrets(
        llm_api_key=environment.get(llm_key_name),
        judge_api_key=environment.get(judge_key_name),
        endpoint_api_key=environment.get("EMBEDTUNE_API_KEY"),
        s3_access_key=environment.get("AWS_ACCESS_KEY_ID"),
        s3_secret_key=environment.get("AWS_SECRET_ACCESS_KEY"),
    )
