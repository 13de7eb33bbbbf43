"""The reference pages are up to date, and the tables they are generated from agree with the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from click.testing import CliRunner

from embedtune.cli.reference.__main__ import main
from embedtune.cli.reference.environment import VARIABLES
from embedtune.cli.reference.exit_codes import error_classes
from embedtune.cli.reporting import EXIT_CODES
from embedtune.serve.gateway.http_errors import REFUSAL_CODES

ROOT = Path(__file__).resolve().parents[2]
# Names with a known prefix wherever they occur, and any name that is looked up in an environment.
NAMED = re.compile(r"\b(?:EMBEDTUNE|AWS|HF|KFP|OPENAI|TRT|CUDA|KUBERNETES|JUDGE)_[A-Z0-9_]+\b|\bKUBECONFIG\b")
LOOKED_UP = re.compile(r"environ(?:ment)?(?:\.get\(|\[)[\"']([A-Z][A-Z0-9_]+)[\"']")
NOT_OURS = {
    "ENDPOINT": "the chart sets it for its own `helm test`",
    "PYTHONPATH": "Python's own; ingest passes it on to the processes that read files",
}


def sources() -> Iterator[Path]:
    for folder in ("embedtune", "components", "charts", "pipelines"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".tpl", ".yaml"} and not {"compiled", "reference", "sample"} & set(
                path.parts
            ):
                yield path


def test_the_reference_pages_are_up_to_date():
    result = CliRunner().invoke(main, ["--check"])
    assert result.exit_code == 0, result.output


def test_the_table_of_environment_variables_is_what_the_code_reads():
    found: dict[str, str] = {}
    for path in sources():
        text = path.read_text(encoding="utf-8")
        found |= dict.fromkeys([*NAMED.findall(text), *LOOKED_UP.findall(text)], str(path.relative_to(ROOT)))
    named = {variable.name for variable in VARIABLES}
    assert {name: path for name, path in found.items() if name not in named | NOT_OURS.keys()} == {}
    ours = {variable.name for variable in VARIABLES if variable.library is None}
    assert ours - found.keys() == set()


def test_every_error_class_has_an_exit_code_of_the_table():
    assert {kind.exit_code for kind in error_classes()} <= EXIT_CODES.keys()


def test_the_table_of_refusals_is_what_the_gateway_sends():
    sent = set()
    for path in sorted((ROOT / "embedtune" / "serve" / "gateway").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            codes = [word.value for word in getattr(node, "keywords", ()) if word.arg == "code"]
            if codes and isinstance(codes[0], ast.Constant):
                assert isinstance(node, ast.Call) and isinstance(node.args[0], ast.Constant)
                sent.add((codes[0].value, node.args[0].value))
    assert sent == {(code, status) for code, (status, _) in REFUSAL_CODES.items()}
