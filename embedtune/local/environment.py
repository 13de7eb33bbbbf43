"""The setting that a run takes from the environment variables of the process: the URL of the LLM endpoint."""

from collections.abc import Mapping

from embedtune.core.config.config import Config


def apply_environment(config: Config, environment: Mapping[str, str]) -> Config:
    """Return the configuration with the LLM endpoint from OPENAI_BASE_URL, unless it already sets one.

    Args:
        config: The configuration as it was loaded.
        environment: Usually `os.environ`.
    """
    base_url = environment.get("OPENAI_BASE_URL")
    if not base_url or config.generate.llm.base_url is not None:
        return config
    generate = config.generate
    changed = {"llm": generate.llm.model_copy(update={"base_url": base_url})}
    if generate.judge is not None and generate.judge.base_url is None:  # the judge inherits the URL
        changed["judge"] = generate.judge.model_copy(update={"base_url": base_url})
    return config.model_copy(update={"generate": generate.model_copy(update=changed)})
