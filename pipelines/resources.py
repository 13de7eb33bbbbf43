"""The resources, GPU nodes, secrets and time limit of each task, as data that `place` applies."""

from dataclasses import dataclass
from typing import Literal

from kfp import dsl, kubernetes

from embedtune.core.secrets import STORAGE_CA

# Labels of NVIDIA's GPU feature discovery. gpu.memory is in MiB, as the driver reports it: cards sold with 80 GB
# report 81,920 (A100) or 81,559 (H100), since the driver reserves a part; 79,000 leaves a margin for other driver
# versions and is well above the next smaller cards (72 GB: below 74,000). Capability 8.0 (A100) added bfloat16.
# https://github.com/NVIDIA/k8s-device-plugin/tree/main/docs/gpu-feature-discovery
GPU_NODE = [
    {"key": "nvidia.com/gpu.memory", "operator": "Gt", "values": ["79000"]},
    {"key": "nvidia.com/gpu.compute.major", "operator": "Gt", "values": ["7"]},
]
GPU = "nvidia.com/gpu"
CACHE_PATH = "/cache"
PART_OF = "app.kubernetes.io/part-of"  # with the next one, what a network policy selects tasks by
COMPONENT = "app.kubernetes.io/component"
QUEUE = "kueue.x-k8s.io/queue-name"  # https://kueue.sigs.k8s.io/docs/tasks/run/plain_pods
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a mount point, not a temporary file
RETRIES = 2

# Kubernetes Secrets by purpose: their keys, and the variables that the component bodies read. All are optional:
# documents in a folder need no store, a local LLM needs no key; a missing key is an error where it is used.
SECRETS = {
    "storage": {
        "access-key": "AWS_ACCESS_KEY_ID",
        "secret-key": "AWS_SECRET_ACCESS_KEY",
        "session-token": "AWS_SESSION_TOKEN",
    },
    "llm": {"api-key": "OPENAI_API_KEY", "judge-api-key": "JUDGE_API_KEY"},
    "hub": {"token": "HF_TOKEN"},
    "endpoint": {"api-key": "EMBEDTUNE_API_KEY"},
}
# The keys of the ConfigMap PREFIX-proxy, and their variables.
PROXY = {name: name for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")}


@dataclass(frozen=True)
class Need:
    """The resources of one task.

    Args:
        cpu: Number of cores requested.
        memory_gib: Memory requested, which is also the limit.
        hours: Time after which the pod is stopped; waiting for a node does not count.
        gpu: Run on a GPU if the cluster has one.
        secrets: Keys of `SECRETS` that the task gets.
        cache: The task keeps state from which a retry resumes.
    """

    cpu: float
    memory_gib: int
    hours: int
    gpu: bool = False
    secrets: tuple[str, ...] = ()
    cache: bool = False


# gpu: for a base model of a billion parameters and a million chunks (sizing.py says what they need); generate runs
# it on CPUs for its questions, since the LLM works elsewhere.
# cpu: for a model like all-MiniLM-L6-v2, on a node with two cores. There demo-cpu's training grew to 3.5 GiB, not
# counting the pages of files that it writes: with a limit of 4 GiB, KFP saw one of two killed.
NEEDS: dict[str, dict[str, Need]] = {
    "gpu": {
        "prepare": Need(0.5, 2, 1, secrets=("storage", "llm")),
        "ingest": Need(2, 4, 6, secrets=("storage", "hub"), cache=True),
        "encode": Need(4, 24, 36, gpu=True, secrets=("storage", "hub"), cache=True),
        "generate": Need(8, 32, 36, secrets=("storage", "llm", "hub"), cache=True),
        "split": Need(1, 8, 2, secrets=("storage",)),
        "mine": Need(4, 32, 6, gpu=True, secrets=("storage", "hub"), cache=True),
        "train": Need(4, 48, 36, gpu=True, secrets=("storage", "hub"), cache=True),
        "evaluate": Need(4, 32, 6, gpu=True, secrets=("storage", "hub"), cache=True),
        "export": Need(4, 48, 6, gpu=True, cache=True),
        "deploy": Need(0.5, 4, 2, secrets=("storage", "endpoint")),
        "report": Need(0.5, 4, 1),
        "outcome": Need(0.25, 1, 1),
    },
    "cpu": {
        "prepare": Need(0.25, 1, 1, secrets=("storage", "llm")),
        "ingest": Need(0.5, 2, 6, secrets=("storage", "hub"), cache=True),
        "encode": Need(1, 3, 6, secrets=("storage", "hub"), cache=True),
        "generate": Need(0.5, 3, 24, secrets=("storage", "llm", "hub"), cache=True),
        "split": Need(0.5, 2, 2, secrets=("storage",)),
        "mine": Need(1, 3, 6, secrets=("storage", "hub"), cache=True),
        "train": Need(1, 6, 24, secrets=("storage", "hub"), cache=True),
        "evaluate": Need(1, 3, 6, secrets=("storage", "hub"), cache=True),
        "export": Need(1, 4, 6, cache=True),
        "deploy": Need(0.25, 2, 2, secrets=("storage", "endpoint")),
        "report": Need(0.25, 2, 1),
        "outcome": Need(0.25, 1, 1),
    },
}


@dataclass(frozen=True)
class Target:
    """The kind of cluster that a pipeline is compiled for.

    Args:
        kind: A cluster with GPUs or without.
        tag: Tag of the images, unique per build.
        registry: Prefix of the image names.
        secrets_named: Prefix of the names of the Secrets: PREFIX-storage, PREFIX-storage-ca, PREFIX-llm,
            PREFIX-hub, PREFIX-endpoint; and of the ConfigMap PREFIX-proxy.
        cache_claim: PersistentVolumeClaim for the cache from which a retry resumes; None: no cache.
        queue: Kueue's LocalQueue in which GPU tasks wait; None: they are scheduled at once.
    """

    kind: Literal["gpu", "cpu"]
    tag: str
    registry: str = "embedtune"
    secrets_named: str = "embedtune"
    cache_claim: str | None = None
    queue: str | None = None

    @property
    def name(self) -> str:
        """The name of the pipeline."""
        return f"finetune-{self.kind}"

    @property
    def cache_dir(self) -> str:
        """The directory that the stages get as `cache_dir`."""
        return CACHE_PATH if self.cache_claim else ""


def place(task: dsl.PipelineTask, name: str, target: Target) -> dsl.PipelineTask:
    """Give a task its image, resources, node, secrets, time limit and retries.

    Args:
        task: The task that calling the component returned.
        name: A key of `NEEDS`.
        target: The kind of cluster.
    """
    need = NEEDS[target.kind][name]
    image = "gpu" if need.gpu else "cpu"
    task.set_container_image(f"{target.registry}/{image}:{target.tag}")
    task.set_cpu_request(str(need.cpu)).set_memory_request(f"{need.memory_gib}Gi")
    task.set_memory_limit(f"{need.memory_gib}Gi")
    # Retries are for lost pods. KFP's default (retryPolicy OnError) does not retry a stage that fails, and should
    # not: the stage has already retried its calls, and its error says what is wrong.
    # backoff_max_duration is a deadline for all attempts together, from the first start.
    longest = need.hours * 3600 * (RETRIES + 1)
    task.set_retry(RETRIES, backoff_duration="60s", backoff_factor=2.0, backoff_max_duration=f"{longest}s")
    kubernetes.set_timeout(task, need.hours * 3600)
    kubernetes.add_pod_label(task, PART_OF, "embedtune")
    kubernetes.add_pod_label(task, COMPONENT, name)
    for purpose in need.secrets:
        kubernetes.use_secret_as_env(task, f"{target.secrets_named}-{purpose}", SECRETS[purpose], optional=True)
    if "storage" in need.secrets:
        folder = str(STORAGE_CA.parent)
        kubernetes.use_secret_as_volume(task, f"{target.secrets_named}-storage-ca", folder, optional=True)
    kubernetes.use_config_map_as_env(task, f"{target.secrets_named}-proxy", PROXY, optional=True)
    if need.cache and target.cache_claim:
        kubernetes.mount_pvc(task, pvc_name=target.cache_claim, mount_path=CACHE_PATH)
        task.set_env_variable("HF_HOME", f"{CACHE_PATH}/huggingface")
    if need.gpu:
        _on_gpu(task)
        if target.queue:
            kubernetes.add_pod_label(task, QUEUE, target.queue)
    return task


def _on_gpu(task: dsl.PipelineTask) -> None:
    task.set_accelerator_type(GPU).set_accelerator_limit(1)
    kubernetes.add_node_affinity(task, match_expressions=GPU_NODE)
    kubernetes.add_toleration(task, key=GPU, operator="Exists", effect="NoSchedule")
    # PyTorch's data loader passes tensors through shared memory, of which a container has 64 MiB by default.
    kubernetes.empty_dir_mount(
        task, volume_name="shm", mount_path=SHARED_MEMORY, medium="Memory", size_limit="8Gi"
    )
