"""Runs `embedtune pipeline …`, with a pipeline that is read quickly."""

import json
from typing import Any

from click.testing import CliRunner, Result

from embedtune.cli import cli

SMALL = """
pipelineInfo: {name: small}
components: {comp-train: {}}
root:
  dag: {tasks: {train: {componentRef: {name: comp-train}}}}
  inputDefinitions:
    parameters:
      documents: {parameterType: STRING}
      overrides: {parameterType: STRUCT, defaultValue: {}, isOptional: true}
      preset: {parameterType: STRING, defaultValue: minilm, isOptional: true, literals: [minilm, demo-cpu]}
      storage_tls: {parameterType: BOOLEAN, defaultValue: true, isOptional: true}
"""


def pipeline(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["pipeline", *arguments], catch_exceptions=False)


def ok(*arguments: str) -> Any:
    done = pipeline(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)
