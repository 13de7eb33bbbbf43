"""The gateway's options about feedback."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import yaml
from pydantic import ValidationError

from embedtune.core.config.masking import MaskSettings
from embedtune.core.errors import ConfigError
from embedtune.core.secrets import secrets_from
from embedtune.core.storage_client import storage_from
from embedtune.serve.triton.installation import CACHE

if TYPE_CHECKING:
    from embedtune.serve.gateway.feedback.log import FeedbackOptions

Command = TypeVar("Command", bound=Callable[..., Any])  # Any: click's parsed options
WAITING = CACHE / "feedback"


def feedback_options(command: Command) -> Command:
    """Add the options to a command."""
    for option in (
        click.option(
            "--feedback-mask",
            type=click.Path(dir_okay=False, path_type=Path),
            help="YAML file like generate.mask: personal data that is masked in queries before they are written.",
        ),
        click.option(
            "--feedback-folder",
            type=click.Path(file_okay=False, path_type=Path),
            default=WAITING,
            show_default="~/.cache/embedtune/feedback",
            help="Where feedback waits for an s3:// place, that of each place in a folder of its own.",
        ),
        click.option(
            "--feedback-max-mb",
            type=click.IntRange(min=1),
            default=100,
            help="Most MB of feedback on this machine; more is refused.",
        ),
        click.option(
            "--feedback-days",
            type=click.IntRange(min=1),
            default=90,
            help="Days after which feedback is deleted.",
        ),
        click.option(
            "--feedback",
            metavar="PLACE",
            help="Record which results people choose (POST /v1/feedback) in a directory or at s3://bucket/prefix.",
        ),
    ):
        command = option(command)
    return command


def feedback_of(given: Mapping[str, Any], environment: Mapping[str, str]) -> "FeedbackOptions | None":
    """Return what the options say.

    Args:
        given: The options of the command.
        environment: Usually `os.environ`: it has the address of the object store and the credentials.

    Raises:
        ConfigError: The file says no valid settings, or there is no address of the object store.
        InputError: The place is not an address.
    """
    # Here, since the command line shows these options without the extra `serve`.
    from embedtune.serve.gateway.feedback.log import FeedbackOptions
    from embedtune.serve.store.objects import S3Objects

    if not (place := given["feedback"]):
        return None
    limits = {"days": given["feedback_days"], "max_bytes": given["feedback_max_mb"] * 1_000_000}
    mask = _mask(given["feedback_mask"]) if given["feedback_mask"] else None
    if not place.startswith("s3://"):
        return FeedbackOptions(Path(place).resolve(), None, mask=mask, **limits)
    storage = storage_from(environment)
    if storage.endpoint is None:
        raise ConfigError(
            "--feedback is in an object store whose address is not known",
            got=place,
            expected="the variable EMBEDTUNE_S3_ENDPOINT",
            fix="set it to host:port, and EMBEDTUNE_S3_SECURE=false for plain HTTP",
        )
    secrets = secrets_from(environment, llm_key_name="", judge_key_name="")
    objects = S3Objects(place, storage, secrets)
    # Gateways with different places must not send each other's files.
    name = hashlib.sha256(objects.uri.encode()).hexdigest()[:12]
    return FeedbackOptions(given["feedback_folder"].resolve() / name, objects, mask=mask, **limits)


def _mask(file: Path) -> MaskSettings:
    expected = "the settings of generate.mask, such as models: {en: en_core_web_lg}"
    try:
        return MaskSettings.model_validate(yaml.safe_load(file.read_bytes()))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError("--feedback-mask cannot be read", got=f"{file}: {error}", expected=expected) from error
    except ValidationError as error:
        first = error.errors()[0]
        got = ": ".join([str(file), *filter(None, [".".join(map(str, first["loc"]))]), first["msg"]])
        raise ConfigError("--feedback-mask has no valid settings", got=got, expected=expected) from error
