"""What a person types into the form of a run, as a configuration. A field is one line, without line breaks."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from embedtune.core.config.config import Config
from embedtune.core.config.load import load_config
from embedtune.core.errors import ConfigError

NEVER = "never"
FROM_PRESET = "from-preset"  # KFP's drop-downs show an empty choice as if nothing had been chosen
DEPLOY_IF = ("win", "marginal", NEVER)
# The setting that each field of the form stands for. An empty field leaves it to the preset.
SETTINGS = {
    "llm_url": "generate.llm.base_url",
    "llm_model": "generate.llm.model",
    "judge_url": "generate.judge.base_url",
    "judge_model": "generate.judge.model",
    "storage_endpoint": "storage.endpoint",
    "release_uri": "release.uri",
    "endpoint_url": "deploy.endpoint",
}
MINIO = re.compile(r"^minio://")  # as the Kubeflow UI shows addresses
ANOTHER_ADDRESS = re.compile(r"\s(?:\w+://|/)")
ANOTHER_SETTING = re.compile(r"(?:^|\s)[a-z]\w*(?:\.\w+)+\s*[=:]")
ANOTHER_SET = re.compile(r"\s[\w.-]+=")


@dataclass(frozen=True)
class Form:
    """The fields that become settings.

    Args:
        preset: Name of a preset.
        base_model: Name of a base model that comes with a contract; `FROM_PRESET`: the preset's own.
        fields: Values of the fields in `SETTINGS`, as typed.
        storage_tls: Whether the object store is called over TLS.
        deploy_if: Worst verdict that is still deployed: one of `DEPLOY_IF`.
        overrides: Further settings: `{"train.epochs": 5}` or `{"train": {"epochs": 5}}`.
    """

    preset: str
    base_model: str = FROM_PRESET
    fields: Mapping[str, str] = field(default_factory=dict)
    storage_tls: bool = True
    deploy_if: str = "win"
    overrides: Mapping[str, JsonValue] = field(default_factory=dict)


def run_config(form: Form, *, in_cluster: bool = False) -> Config:
    """Return the configuration of a run.

    Args:
        form: The fields.
        in_cluster: Whether the run is in a cluster, where releases are served unless the overrides say otherwise.

    Raises:
        ConfigError: A field holds two values, contradicts the overrides, or is not valid.
    """
    read = {"release_uri": address}
    typed = {name: read.get(name, word)(name, text) for name, text in form.fields.items()}
    given: dict[str, JsonValue] = {SETTINGS[name]: text for name, text in typed.items() if text}
    if not form.storage_tls:
        given["storage.secure"] = False
    if form.deploy_if not in DEPLOY_IF:
        raise ConfigError("deploy_if is not a verdict", got=form.deploy_if, expected=", ".join(DEPLOY_IF))
    if form.deploy_if not in ("win", NEVER):
        given["deploy.accept"] = form.deploy_if
    for key, value in _settings(form.overrides):
        if key in given and given[key] != value:
            raise ConfigError(
                f"{key} is set twice, by a field of the form and in overrides",
                got=f"{given[key]} and {value}",
                fix="leave one of them out",
            )
        given[key] = value
    if in_cluster:
        given.setdefault("deploy.target", "kubernetes")
    base = word("base_model", form.base_model)
    source = word("preset", form.preset) + ("" if base == FROM_PRESET else f"+{base}")
    return load_config(source, [f"{key}={json.dumps(value)}" for key, value in given.items()])


def word(name: str, text: str) -> str:
    """Return the content of a field that has no blanks in it.

    Raises:
        ConfigError: It has: two values were pasted, whose line break became a blank.
    """
    value = text.strip()
    if re.search(r"\s", value):
        raise ConfigError(f"{name} takes one value without blanks", got=value, fix="put one value into the field")
    return value


def address(name: str, text: str) -> str:
    """Return an address; `minio://`, as the Kubeflow UI shows addresses, becomes `s3://`.

    Raises:
        ConfigError: There are two addresses.
    """
    value = text.strip()
    if ANOTHER_ADDRESS.search(value):
        raise ConfigError(f"{name} takes one address", got=value, fix="put one address into the field")
    return MINIO.sub("s3://", value)


def eval_set_lines(entries: Sequence[JsonValue]) -> str:
    """Return evaluation sets, one `NAME=ADDRESS` per line, from the list in the form.

    Raises:
        ConfigError: An entry is no text, or two sets run together.
    """
    lines = []
    for entry in entries:
        if not isinstance(entry, str) or ANOTHER_SET.search(entry.strip()):
            raise ConfigError(
                "an entry of eval_sets is not one evaluation set",
                got=entry,
                expected='["NAME=s3://bucket/prefix", "OTHER=s3://bucket/prefix"]',
            )
        name, equals, where = entry.strip().partition("=")
        lines.append(f"{name}{equals}{address('eval_sets', where)}")
    return "\n".join(lines)


def _settings(overrides: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    for name, value in overrides.items():
        key = f"{prefix}{name}"
        if not re.fullmatch(r"\w+(\.\w+)*", name):
            raise ConfigError(
                "a key of overrides is not the name of a setting",
                got=key,
                expected='{"train.epochs": 5} or {"train": {"epochs": 5}}',
            )
        if isinstance(value, dict) and value:
            yield from _settings(value, f"{key}.")
            continue
        if isinstance(value, str) and (another := ANOTHER_SETTING.search(value)):
            raise ConfigError(
                f"two settings run together in overrides: {key} and {another[0].strip(' =:')}",
                got=value,
                expected='{"train.epochs": 5, "mine.depth": 100}',
            )
        # The KFP SDK cannot send null within a structure.
        yield key, None if value == "null" else _stored(value)


def _stored(value: JsonValue) -> JsonValue:
    """Return a value with the address in it, if any, as the settings spell it."""
    return MINIO.sub("s3://", value) if isinstance(value, str) else value
