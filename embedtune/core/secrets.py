"""Credentials: entry points read them from the environment and pass them on; no file ever contains them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from embedtune.core.config.generate import GenerateSettings

WORKLOAD_IDENTITY = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)
# Where pods have the certificates that sign the object store's, if they have any.
STORAGE_CA = Path("/etc/embedtune/storage-ca/ca.crt")


@dataclass(frozen=True)
class WorkloadIdentity:
    """That the cluster gives this process credentials of the object store, which the store's client then reads.

    Args:
        web: By a token in a file, which a token service exchanges; otherwise the container gives them.
        sts_endpoint: URL of the token service; None: that of AWS.
    """

    web: bool
    sts_endpoint: str | None


@dataclass(frozen=True)
class Secrets:
    """The credentials of one run, which `repr` does not show."""

    llm_api_key: str | None = field(default=None, repr=False)
    judge_api_key: str | None = field(default=None, repr=False)
    endpoint_api_key: str | None = field(default=None, repr=False)
    s3_access_key: str | None = field(default=None, repr=False)
    s3_secret_key: str | None = field(default=None, repr=False)
    s3_session_token: str | None = field(default=None, repr=False)
    s3_identity: WorkloadIdentity | None = None
    s3_ca_bundle: str | None = None


def secrets_of(generate: GenerateSettings, environment: Mapping[str, str]) -> Secrets:
    """Read the credentials of a run from environment variables.

    Args:
        generate: Names the variables that hold the API keys of generator and judge.
        environment: The variables, usually `os.environ`.
    """
    judge = generate.judge or generate.llm
    return secrets_from(environment, llm_key_name=generate.llm.api_key_env, judge_key_name=judge.api_key_env)


def secrets_from(
    environment: Mapping[str, str], *, llm_key_name: str | None, judge_key_name: str | None
) -> Secrets:
    """Read the credentials from environment variables.

    Args:
        environment: The variables, usually `os.environ`.
        llm_key_name: Name of the variable with the generator's API key (`generate.llm.api_key_env`), if any.
        judge_key_name: Name of the variable with the judge's API key (`generate.judge.api_key_env`), if any.
    """
    return Secrets(
        llm_api_key=environment.get(llm_key_name or ""),
        judge_api_key=environment.get(judge_key_name or ""),
        endpoint_api_key=environment.get("EMBEDTUNE_API_KEY"),
        s3_access_key=environment.get("AWS_ACCESS_KEY_ID"),
        s3_secret_key=environment.get("AWS_SECRET_ACCESS_KEY"),
        s3_session_token=environment.get("AWS_SESSION_TOKEN") or None,
        s3_identity=_workload_identity(environment),
        s3_ca_bundle=environment.get("AWS_CA_BUNDLE") or environment.get("SSL_CERT_FILE") or _mounted_ca(),
    )


def _mounted_ca() -> str | None:
    return str(STORAGE_CA) if STORAGE_CA.is_file() else None


def _workload_identity(environment: Mapping[str, str]) -> WorkloadIdentity | None:
    if not any(environment.get(name) for name in WORKLOAD_IDENTITY):
        return None
    web = bool(environment.get("AWS_WEB_IDENTITY_TOKEN_FILE"))
    return WorkloadIdentity(web, environment.get("AWS_ENDPOINT_URL_STS") or None if web else None)
