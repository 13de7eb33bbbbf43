"""Where each task runs and with what: requests, GPU nodes, secrets, timeouts; data, applied by `place`."""

from dataclasses import dataclass
from typing import Literal

from kfp import dsl, kubernetes

# Labels of NVIDIA's GPU feature discovery. gpu.memory is in MiB, as the driver reports it: cards sold with 80 GB
# say 81,920 (A100) or 81,559 (H100), since the driver keeps a part; 79,000 leaves room for other driver versions
# and lies well above the next smaller cards (72 GB: below 74,000). Capability 8.0 (A100) brought bfloat16.
# https://github.com/NVIDIA/k8s-device-plugin/tree/main/docs/gpu-feature-discovery
GPU_NODE = [
    {"key": "nvidia.com/gpu.memory", "operator": "Gt", "values": ["79000"]},
    {"key": "nvidia.com/gpu.compute.major", "operator": "Gt", "values": ["7"]},
]
GPU = "nvidia.com/gpu"
CACHE_PATH = "/cache"
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a mount point, not a temporary file
RETRIES = 2

# Kubernetes Secrets by purpose: their keys, and the variables that the component bodies read. All are optional:
# documents in a folder need no store, a local endpoint needs no key; what is missing is refused where it is used.
SECRETS = {
    "storage": {"access-key": "AWS_ACCESS_KEY_ID", "secret-key": "AWS_SECRET_ACCESS_KEY"},
    "llm": {"api-key": "OPENAI_API_KEY", "judge-api-key": "JUDGE_API_KEY"},
    "hub": {"token": "HF_TOKEN"},
    "endpoint": {"api-key": "EMBEDTUNE_API_KEY"},
}


@dataclass(frozen=True)
class Need:
    """What one task asks for.

    Args:
        cpu: Cores requested.
        memory_gib: Memory requested, and the limit.
        hours: Time after which the pod is stopped; waiting for a node does not count.
        gpu: It runs on a GPU where the target has one.
        secrets: Keys of `SECRETS`.
        cache: It keeps state that a second attempt resumes from.
    """

    cpu: float
    memory_gib: int
    hours: int
    gpu: bool = False
    secrets: tuple[str, ...] = ()
    cache: bool = False


# gpu: a base model of a billion parameters, which generate embeds with on CPUs while the LLM works elsewhere.
# cpu: one like all-MiniLM-L6-v2, on a node of two cores.
NEEDS: dict[str, dict[str, Need]] = {
    "gpu": {
        "prepare": Need(0.5, 2, 1, secrets=("storage",)),
        "ingest": Need(2, 4, 6, secrets=("storage", "hub"), cache=True),
        "generate": Need(4, 16, 24, secrets=("storage", "llm", "hub"), cache=True),
        "split": Need(1, 4, 2),
        "mine": Need(4, 24, 6, gpu=True, secrets=("storage", "hub"), cache=True),
        "train": Need(4, 48, 24, gpu=True, secrets=("storage", "hub"), cache=True),
        "evaluate": Need(4, 24, 6, gpu=True, secrets=("storage", "hub"), cache=True),
        "export": Need(4, 48, 6, gpu=True, cache=True),
        "deploy": Need(0.5, 4, 2, secrets=("storage", "endpoint")),
        "report": Need(0.5, 4, 1),
    },
    "cpu": {
        "prepare": Need(0.25, 1, 1, secrets=("storage",)),
        "ingest": Need(0.5, 2, 6, secrets=("storage", "hub"), cache=True),
        "generate": Need(0.5, 3, 24, secrets=("storage", "llm", "hub"), cache=True),
        "split": Need(0.5, 2, 2),
        "mine": Need(1, 3, 6, secrets=("storage", "hub"), cache=True),
        "train": Need(1, 4, 24, secrets=("storage", "hub"), cache=True),
        "evaluate": Need(1, 3, 6, secrets=("storage", "hub"), cache=True),
        "export": Need(1, 4, 6, cache=True),
        "deploy": Need(0.25, 2, 2, secrets=("storage", "endpoint")),
        "report": Need(0.25, 2, 1),
    },
}


@dataclass(frozen=True)
class Target:
    """The cluster that a pipeline is compiled for.

    Args:
        kind: With GPUs or without.
        tag: Tag of the images; unique for each build.
        registry: Prefix of the images' names.
        secrets_named: Prefix of the Secrets' names: PREFIX-storage, PREFIX-llm, PREFIX-hub,
            PREFIX-endpoint.
        cache_claim: PersistentVolumeClaim for what a second attempt resumes from; None: nothing outlives a pod.
    """

    kind: Literal["gpu", "cpu"]
    tag: str
    registry: str = "embedtune"
    secrets_named: str = "embedtune"
    cache_claim: str | None = None

    @property
    def name(self) -> str:
        """Name of the pipeline."""
        return f"finetune-{self.kind}"

    @property
    def cache_dir(self) -> str:
        """The directory that the stages get as `cache_dir`."""
        return CACHE_PATH if self.cache_claim else ""


def place(task: dsl.PipelineTask, name: str, target: Target) -> dsl.PipelineTask:
    """Give a task its image, requests, node, secrets, time and retries.

    Args:
        task: The task, as calling the component made it.
        name: A key of `NEEDS`.
        target: The cluster.
    """
    need = NEEDS[target.kind][name]
    image = "gpu" if need.gpu else "cpu"
    task.set_container_image(f"{target.registry}/{image}:{target.tag}")
    task.set_cpu_request(str(need.cpu)).set_memory_request(f"{need.memory_gib}Gi")
    task.set_memory_limit(f"{need.memory_gib}Gi")
    # Retries are for lost pods. A stage that fails by itself is not retried by KFP's stock configuration
    # (retryPolicy OnError), and should not be: it retried its calls already, and says what is wrong.
    task.set_retry(num_retries=RETRIES, backoff_duration="60s", backoff_factor=2.0, backoff_max_duration="600s")
    kubernetes.set_timeout(task, need.hours * 3600)
    for purpose in need.secrets:
        kubernetes.use_secret_as_env(task, f"{target.secrets_named}-{purpose}", SECRETS[purpose], optional=True)
    if need.cache and target.cache_claim:
        kubernetes.mount_pvc(task, pvc_name=target.cache_claim, mount_path=CACHE_PATH)
        task.set_env_variable("HF_HOME", f"{CACHE_PATH}/huggingface")
    if need.gpu:
        _on_gpu(task)
    return task


def _on_gpu(task: dsl.PipelineTask) -> None:
    task.set_accelerator_type(GPU).set_accelerator_limit(1)
    kubernetes.add_node_affinity(task, match_expressions=GPU_NODE)
    kubernetes.add_toleration(task, key=GPU, operator="Exists", effect="NoSchedule")
    # PyTorch's data loader passes tensors through shared memory, of which a container has 64 MiB by default.
    kubernetes.empty_dir_mount(
        task, volume_name="shm", mount_path=SHARED_MEMORY, medium="Memory", size_limit="8Gi"
    )
