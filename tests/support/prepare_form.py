"""The form of a run, as Kubeflow fills it in for the component prepare."""

from typing import Any


def form(**fields: Any) -> dict[str, Any]:
    """Return the parameters of prepare: those given, and what the form of a run has by default."""
    texts = ("llm_url", "llm_model", "judge_url", "judge_model", "storage_endpoint", "release_uri")
    empty = dict.fromkeys((*texts, "endpoint_url", "champion"), "")
    given = {
        "preset": "minilm",
        "base_model": "from-preset",
        "storage_tls": True,
        "deploy_if": "win",
        "eval_sets": [],
        "overrides": {},
    }
    return {**empty, **given, **fields}
