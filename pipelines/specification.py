"""A compiled pipeline as data: its name, its version, and the parameters that a run of it can be given."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import JsonValue

from embedtune.core.errors import ConfigError, InputError
from embedtune.core.suggestions import did_you_mean

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast
COMPILED = Path(__file__).resolve().parent / "compiled"
REGISTRY = "embedtune"  # prefix of the names of images that `images/build` gives without another
# KFP's parameter types (ParameterType in pipeline_spec.proto), and what a value of each is in Python and in words.
TYPES: Mapping[str, tuple[Callable[[JsonValue], bool], str]] = {
    "STRING": (lambda value: isinstance(value, str), "text"),
    "BOOLEAN": (lambda value: isinstance(value, bool), "true or false"),
    "NUMBER_INTEGER": (lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number"),
    "NUMBER_DOUBLE": (lambda value: isinstance(value, int | float) and not isinstance(value, bool), "a number"),
    "LIST": (lambda value: isinstance(value, list), "a list"),
    "STRUCT": (lambda value: isinstance(value, dict), "a mapping, such as {train.epochs: 5}"),
}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a pipeline.

    Args:
        name: Its name.
        kind: Its type: a key of `TYPES`, or one of a later KFP, which is not checked.
        choices: The only values that it may have; empty: any.
        default: Its value if a run does not give it one.
        required: Whether a run has to give it a value.
    """

    name: str
    kind: str
    choices: tuple[JsonValue, ...] = ()
    default: JsonValue = None
    required: bool = False

    def check(self, value: JsonValue) -> None:
        """Refuse a value that KFP, or the drop-down of its UI, would not take.

        Raises:
            ConfigError: The type is another one, or the value is none of the choices.
        """
        fits, words = TYPES.get(self.kind, (lambda _: True, ""))
        if not fits(value):
            quoted = isinstance(value, bool | int | float) and self.kind == "STRING"
            raise ConfigError(
                f"the pipeline's parameter {self.name} has a value of the wrong type",
                got=_said(value),
                expected=words,
                fix=f'put it in quotes: {self.name}: "{_said(value)}"' if quoted else None,
            )
        if self.choices and value not in self.choices:
            raise ConfigError(
                f"the pipeline's parameter {self.name} has none of its values",
                got=_said(value),
                expected=", ".join(_said(choice) for choice in self.choices),
                fix=did_you_mean(str(value), map(str, self.choices)) or None,
            )

    def parse(self, text: str) -> JsonValue:
        """Return the value that a command line's text stands for; text is taken as it is, the rest is YAML.

        Raises:
            ConfigError: It is not YAML.
        """
        if self.kind == "STRING":
            return text
        try:
            value: JsonValue = yaml.safe_load(text)
        except yaml.YAMLError as error:
            expected = TYPES.get(self.kind, (None, "YAML"))[1]
            raise ConfigError(
                f"the value of the pipeline's parameter {self.name} cannot be read", got=text, expected=expected
            ) from error
        return value


@dataclass(frozen=True)
class Specification:
    """A compiled pipeline.

    Args:
        name: Name of the pipeline.
        parameters: Its parameters by name.
        tasks: Names of its tasks, as the UI shows them, in the order of the specification.
    """

    name: str
    parameters: Mapping[str, Parameter]
    tasks: tuple[str, ...]

    def values(self, given: Mapping[str, JsonValue], typed: Mapping[str, str]) -> dict[str, JsonValue]:
        """Return the values that a run gets, all of them checked.

        Args:
            given: Values from a file.
            typed: Values from the command line, as text; they win.

        Raises:
            ConfigError: A name is unknown, a value is of another type or none of the choices, or one is missing.
        """
        for name in (*given, *typed):
            self._parameter(name)
        values = {**given, **{name: self.parameters[name].parse(text) for name, text in typed.items()}}
        for name, value in values.items():
            self.parameters[name].check(value)
        missing = [name for name, known in self.parameters.items() if known.required and name not in values]
        if missing:
            raise ConfigError(
                f"a run of {self.name} needs a value for {', '.join(missing)}",
                fix=f"--set {missing[0]}=VALUE, or a line in the file of --params",
            )
        return values

    def _parameter(self, name: str) -> Parameter:
        if name not in self.parameters:
            raise ConfigError(
                f"{self.name} has no parameter {name}",
                expected=", ".join(self.parameters),
                fix=did_you_mean(name, self.parameters) or None,
            )
        return self.parameters[name]


def read_specification(document: Any) -> Specification:
    """Return the specification in a parsed document: KFP's PipelineSpec, or what its API returns for a version.

    Raises:
        InputError: It is no compiled pipeline.
    """
    document = document.get("pipeline_spec", document) if isinstance(document, dict) else document
    try:
        root = document["root"]
        inputs = root.get("inputDefinitions", {}).get("parameters", {})
        return Specification(
            name=document["pipelineInfo"]["name"],
            parameters={name: _parameter(name, about) for name, about in sorted(inputs.items())},
            tasks=tuple(_tasks(document, root["dag"])),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError("this is not a compiled pipeline of Kubeflow", got=f"no {error}") from error


def load_specification(path: Path) -> Specification:
    """Return the specification in a file that KFP's compiler wrote.

    Raises:
        InputError: The file cannot be read or is no compiled pipeline.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = next(iter(yaml.load_all(text, Loader=LOADER)), None)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"the pipeline in {path} cannot be read", got=" ".join(str(error).split())) from error
    return read_specification(document)


def version_name(path: Path) -> str:
    """Return the name of a file's version: the first 12 hex digits of its sha256, after `embedtune-`."""
    return f"embedtune-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"


def load_parameters(path: Path) -> dict[str, JsonValue]:
    """Return the parameters in a YAML or JSON file, one `name: value` each.

    Raises:
        InputError: The file cannot be read, or holds something else.
    """
    try:
        content = _parsed(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"the parameters in {path} cannot be read", got=" ".join(str(error).split())) from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise InputError(f"{path} does not hold parameters", expected="one `name: value` on each line")
    return content


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)  # PyYAML takes the number 1e-7, as charts/embedtune writes it, for text
    except json.JSONDecodeError:
        return yaml.safe_load(text)


def _parameter(name: str, about: Mapping[str, Any]) -> Parameter:
    return Parameter(
        name=name,
        kind=about.get("parameterType", "STRING"),
        choices=tuple(about.get("literals", ())),
        default=about.get("defaultValue"),
        required=not about.get("isOptional", False) and "defaultValue" not in about,
    )


def _tasks(document: Mapping[str, Any], dag: Mapping[str, Any]) -> list[str]:
    """Return the names of the tasks in a DAG and in those that it contains."""
    names: list[str] = []
    for name, task in dag["tasks"].items():
        inner = document["components"].get(task["componentRef"]["name"], {}).get("dag")
        names += _tasks(document, inner) if inner else [name]
    return names


def _said(value: JsonValue) -> str:
    hidden = value is None or (isinstance(value, str) and (not value or value != value.strip()))
    return repr(value) if hidden else str(value)
