"""Reads from environment variables what a run takes from them: credentials and the URL of the LLM endpoint."""

from collections.abc import Mapping

from embedtune.core.config.config import Config
from embedtune.core.secrets import Secrets, secrets_from


def apply_environment(config: Config, environment: Mapping[str, str]) -> Config:
    """Return the configuration with the LLM endpoint from OPENAI_BASE_URL, unless it already sets one.

    Args:
        config: The configuration as it was loaded.
        environment: Usually `os.environ`.
    """
    base_url = environment.get("OPENAI_BASE_URL")
    if not base_url or config.generate.llm.base_url is not None:
        return config
    llm = config.generate.llm.model_copy(update={"base_url": base_url})
    return config.model_copy(update={"generate": config.generate.model_copy(update={"llm": llm})})


def secrets_of(config: Config, environment: Mapping[str, str]) -> Secrets:
    """Return the credentials of a run.

    Args:
        config: Names the variables that hold the API keys of generator and judge.
        environment: Usually `os.environ`.
    """
    judge = config.generate.judge or config.generate.llm
    return secrets_from(
        environment, llm_key_name=config.generate.llm.api_key_env, judge_key_name=judge.api_key_env
    )
