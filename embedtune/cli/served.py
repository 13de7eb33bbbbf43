"""What to do after a deployment: where the service is, a request to try, and how to stop it."""

import json
import shlex
from collections.abc import Iterator, Mapping

from embedtune.cli.reporting import err
from embedtune.core.artifacts import StageReport
from embedtune.core.config.config import Config
from embedtune.deploy.site import GATEWAY_PORT, endpoint_url

TEXT = "the press is stuck"
KEY = "EMBEDTUNE_API_KEY"


def say_how_to_use(report: StageReport, config: Config, environment: Mapping[str, str]) -> None:
    """Print what to do, if something was deployed.

    Args:
        report: What the stage deploy did.
        config: Where it deployed to.
        environment: With a key, the gateways that are started from here need it.
    """
    deployed = report.metrics.get("deployed")
    if deployed in ("yes", "candidate"):
        for line in how_to_use(config, keyed=KEY in environment, candidate=deployed == "candidate"):
            err.print(line, soft_wrap=True, markup=False, highlight=False)


def how_to_use(config: Config, *, keyed: bool, candidate: bool) -> Iterator[str]:
    """Yield the lines to print; those with two blanks before them are commands that work as they are.

    Args:
        config: Where it was deployed to.
        keyed: Whether the gateway needs the key of the environment variable.
        candidate: Whether the release is not live yet.
    """
    deploy, name = config.deploy, config.serve.model_name
    model = f"{name}-query@candidate" if candidate else f"{name}-query"
    url = endpoint_url(deploy)
    if deploy.endpoint is not None:
        yield f"endpoint: {url}"
        if url.startswith("http"):
            yield f"  {_ask_gateway(url.rstrip('/'), model, keyed)}"
        return
    here = f"http://127.0.0.1:{GATEWAY_PORT}"
    if deploy.target == "local":
        yield f"endpoint: Triton, in the background, on http://127.0.0.1:{deploy.port} and {url}"
        if not candidate:  # which only the gateway can name
            yield f"  {_ask_triton(deploy.port, name)}"
        yield f"OpenAI's API: {here}/v1, once the gateway runs (until Ctrl-C)"
        yield f"  {_start_gateway(deploy.port, name)}"
    else:
        yield f"endpoint: {url}/v1, inside the cluster; from here:"
        yield f"  kubectl -n {deploy.namespace} port-forward service/{deploy.deployment} {GATEWAY_PORT}"
    yield f"  {_ask_gateway(here, model, keyed)}"
    yield "to stop the service:"
    if deploy.target == "local":
        yield f"  embedtune release stop{'' if deploy.port == 8000 else f' --set deploy.port={deploy.port}'}"
    else:
        yield f"  kubectl -n {deploy.namespace} scale deployment {deploy.deployment} --replicas 0"


def _ask_triton(port: int, model: str) -> str:
    text = {"name": "TEXT", "shape": [1, 1], "datatype": "BYTES", "data": [TEXT]}
    body = json.dumps({"inputs": [text]})
    return f"curl -s http://127.0.0.1:{port}/v2/models/{model}/infer -d {shlex.quote(body)}"


def _start_gateway(port: int, model: str) -> str:
    triton = "" if port == 8000 else f" --triton 127.0.0.1:{port + 1}"
    return f"embedtune gateway{triton}{'' if model == 'embedtune' else f' --model {model}'}"


def _ask_gateway(url: str, model: str, keyed: bool) -> str:
    """Return a request; the shell puts the key in, so that it is not on the screen."""
    key = f' -H "Authorization: Bearer ${KEY}"' if keyed else ""
    body = json.dumps({"model": model, "input": TEXT})
    return f"curl -s {url}/v1/embeddings{key} -H 'Content-Type: application/json' -d {shlex.quote(body)}"
