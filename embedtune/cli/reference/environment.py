"""The table of all environment variables that embedtune reads, and the page on them."""

# tests/cli/test_reference.py compares the table with the code.

from dataclasses import dataclass

from embedtune.cli.reference.markdown import page, table

INTRODUCTION = """Settings belong in the configuration; environment variables hold credentials, and
what Kubernetes tells a container. Only entry points read them. An empty variable counts as not set."""


@dataclass(frozen=True)
class Variable:
    """One environment variable.

    Args:
        name: Its name.
        read_by: The programs that read it.
        meaning: What it is for.
        library: The library that reads it; None: embedtune's own code does.
    """

    name: str
    read_by: str
    meaning: str
    library: str | None = None


CREDENTIALS = (
    Variable(
        "OPENAI_API_KEY",
        "generate, doctor",
        "Key of the LLM endpoint; `generate.llm.api_key_env` and `generate.judge.api_key_env` can name another "
        "variable.",
    ),
    Variable(
        "OPENAI_BASE_URL",
        "the command line",
        "URL of the LLM endpoint, used when `generate.llm.base_url` is not set.",
    ),
    Variable("AWS_ACCESS_KEY_ID", "every command that reads `s3://`; the pods", "Access key of the object store."),
    Variable("AWS_SECRET_ACCESS_KEY", "the same", "Secret key of the object store."),
    Variable("AWS_SESSION_TOKEN", "the same", "Session token of temporary keys of the object store."),
    Variable(
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "the same, without keys",
        "File with the token of a workload identity, exchanged for keys at the token service; `AWS_ROLE_ARN`, "
        "`AWS_ROLE_SESSION_NAME` and `AWS_REGION` as for AWS's own tools. The cluster sets them.",
    ),
    Variable(
        "AWS_ENDPOINT_URL_STS", "the same", "URL of the token service, if it is not AWS's (MinIO has its own)."
    ),
    Variable(
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "the same, without keys",
        "Where EKS Pod Identity hands out keys, with `AWS_CONTAINER_AUTHORIZATION_TOKEN` or `…_FILE`. The cluster "
        "sets them.",
    ),
    Variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "the same", "Where ECS hands out keys."),
    Variable(
        "AWS_CA_BUNDLE",
        "the same",
        "PEM file with the certificates that sign the object store's; default: "
        "`/etc/embedtune/storage-ca/ca.crt`, where pipelines mount a Secret, if it is there.",
    ),
    Variable("SSL_CERT_FILE", "the same", "The same, if `AWS_CA_BUNDLE` is not set."),
    Variable(
        "HTTPS_PROXY",
        "the same",
        "Proxy on the way to an object store with TLS; `HTTP_PROXY` without, `NO_PROXY` lists exceptions.",
        "urllib",
    ),
    Variable(
        "HF_TOKEN",
        "whatever loads a base model; push",
        "Access token of the model hub; `embedtune push hf://…` needs one that may write.",
    ),
    Variable("HF_ENDPOINT", "the same", "URL of another hub than hf.co."),
    Variable("OCI_USERNAME", "push", "Name at the OCI registry; unset: what `docker login` stored."),
    Variable("OCI_PASSWORD", "push", "Its password or token."),
    Variable(
        "MLFLOW_TRACKING_URI", "run, with `tracking.to`", "The MLflow server ([runs](../runs.md)).", "mlflow"
    ),
    Variable("MLFLOW_EXPERIMENT_NAME", "the same", "Experiment to record in; unset: embedtune."),
    Variable("MLFLOW_EXPERIMENT_ID", "the same", "The same, by its id."),
    Variable("WANDB_API_KEY", "the same", "Key of Weights & Biases.", "wandb"),
    Variable("WANDB_MODE", "the same", "`offline`: nothing is sent.", "wandb"),
    Variable("WANDB_PROJECT", "the same", "Project to record in; unset: embedtune."),
    Variable(
        "EMBEDTUNE_API_KEY",
        "the gateway; deploy, evaluate, reindex, helm test",
        "The gateway demands this key from its clients, and refuses an empty one; commands send it.",
    ),
)
SERVING = (
    Variable("EMBEDTUNE_TRITON", "the gateway", "host:port of Triton's gRPC; the same as `--triton`."),
    Variable(
        "TRT_VERSION",
        "Triton's start, for releases with target tensorrt",
        "TensorRT version of this Triton. NVIDIA's images and `triton-gpu` set it.",
    ),
    Variable(
        "EMBEDTUNE_TRITON_OPEN",
        "the pod's Triton",
        "Which of its ports others may reach: any of http, grpc, metrics, separated by commas. The rest listen on "
        "loopback.",
    ),
    Variable("EMBEDTUNE_TRITON_TLS_CERT", "Triton's start", "PEM file with the certificate of its gRPC port."),
    Variable("EMBEDTUNE_TRITON_TLS_KEY", "Triton's start", "PEM file with the private key of that certificate."),
    Variable(
        "EMBEDTUNE_SERVING",
        "the gateway",
        "Folder of the replica that runs this Triton; the same as `--serving`.",
    ),
    Variable(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "the gateway, Triton's start",
        "URL of an OpenTelemetry collector (OTLP over HTTP), to which traces go. The SDK in the gateway reads "
        "OpenTelemetry's other variables too (sampler, headers, batches).",
    ),
    Variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "the same", "The same, with its path, for traces alone."),
    Variable("OTEL_EXPORTER_OTLP_PROTOCOL", "the gateway", "Only `http/protobuf` is accepted.", "opentelemetry"),
    Variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "the gateway", "The same, for traces alone.", "opentelemetry"),
    Variable(
        "OTEL_TRACES_EXPORTER", "the gateway, Triton's start", "`none`: no traces; `otlp` is the only other value."
    ),
    Variable("OTEL_SDK_DISABLED", "the same", "`true`: no traces."),
    Variable(
        "OTEL_SERVICE_NAME",
        "the same",
        "Name of the service in traces; unset: embedtune-gateway, embedtune-triton.",
    ),
    Variable(
        "OTEL_RESOURCE_ATTRIBUTES",
        "the gateway",
        "What else traces say about it, such as `service.name=…`.",
        "opentelemetry",
    ),
    Variable("EMBEDTUNE_RELEASES", "the pod's Triton", "s3://bucket/prefix of the releases, or a directory."),
    Variable(
        "EMBEDTUNE_RELEASE_KEY",
        "the pod's Triton",
        "Public key (Ed25519, PEM) that releases must be signed with; unset: none.",
    ),
    Variable(
        "EMBEDTUNE_S3_ENDPOINT", "the pod's Triton, the gateway with --feedback", "host:port of the object store."
    ),
    Variable(
        "EMBEDTUNE_S3_SECURE",
        "the pod's Triton, the gateway with --feedback",
        "`false`: plain HTTP instead of TLS.",
    ),
    Variable(
        "EMBEDTUNE_S3_REGION",
        "the pod's Triton, the gateway with --feedback",
        "Region, if the object store requires one.",
    ),
    Variable(
        "EMBEDTUNE_TARGET",
        "the pod's Triton",
        "Only target that may be loaded; a release for another target is refused.",
    ),
    Variable("CUDA_VISIBLE_DEVICES", "Triton, PyTorch", "GPUs to use."),
)
MACHINE = (
    Variable(
        "HF_HOME",
        "whatever loads a base model",
        "Directory where models from the hub are cached.",
        "huggingface_hub",
    ),
    Variable(
        "HF_HUB_CACHE",
        "whatever loads a base model; clean",
        "The same directory, if it is not in HF_HOME.",
        "huggingface_hub",
    ),
    Variable(
        "MLFLOW_EXPERIMENT_ID",
        "run, train",
        "Experiment that `tracking.to` records in, by its id; see docs/runs.md for the others.",
    ),
    Variable("MLFLOW_EXPERIMENT_NAME", "run, train", "The same by its name; `embedtune` without either."),
    Variable("WANDB_PROJECT", "run, train", "Project that `tracking.to` records in; `embedtune` without it."),
    Variable("KFP_ENDPOINT", "pipeline", "URL of Kubeflow Pipelines; the same as `--endpoint`."),
    Variable("KFP_TOKEN_FILE", "pipeline", "File with a service account's token; the same as `--token-file`."),
    Variable(
        "KUBERNETES_SERVICE_HOST",
        "the pipeline's prepare",
        "Set by Kubernetes; its presence means that this is a pod, where a local Triton cannot be deployed.",
    ),
    Variable(
        "JUDGE_API_KEY",
        "generate, in a pipeline",
        "Where pipelines put the key `judge-api-key` of the LLM Secret; set `generate.judge.api_key_env` to it.",
    ),
    Variable(
        "_EMBEDTUNE_COMPLETE",
        "the shell",
        "Prints the completion script: `bash_source`, `zsh_source` or `fish_source`.",
        "click",
    ),
)
GROUPS = {
    "Credentials and LLM endpoint": CREDENTIALS,
    "Serving": SERVING,
    "Machine, cluster and shell": MACHINE,
}
VARIABLES = tuple(variable for group in GROUPS.values() for variable in group)


def render() -> str:
    """Return the page."""
    parts = [INTRODUCTION]
    for title, group in GROUPS.items():
        parts += [f"## {title}", table(("variable", "read by", "meaning"), [_row(variable) for variable in group])]
    parts += [
        "Variables for building images are listed at the top of `images/build`, those of the tests in "
        "[CONTRIBUTING.md](../../CONTRIBUTING.md).",
    ]
    return page("Environment variables", "the table in `embedtune/cli/reference/environment.py`", parts)


def _row(variable: Variable) -> tuple[str, str, str]:
    reader = f"{variable.read_by} (through {variable.library})" if variable.library else variable.read_by
    return f"`{variable.name}`", reader, variable.meaning
