"""The house rules that a machine can check: sizes, words that are out, docstrings of packages, no `except*`."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAX_LINES, MAX_FUNCTION, MAX_PARAMETERS = 300, 60, 8
# KFP's form of a pipeline or a component: each input and output is a parameter.
KFP_FORMS = {
    ("pipelines/finetune.py", "pipeline"),
    ("components/evaluate/component.py", "evaluate"),
    ("components/prepare/component.py", "prepare"),
}
# The house's words (CONTRIBUTING.md): what is left is the field's standard term, or what an engineer would say.
OUT = (
    r"\bshall\b",
    r"\banew\b",
    r"\bmend(?:s|ed|ing)?\b",
    r"\bdear(?:er|est|ly)?\b",
    r"\bbeside\b",
    r"\bunder way\b",
    r"(?<!-)\bstands?\b(?! for\b)(?! in for\b)(?!-)",
    r"\b[Tt]old of\b",
    r"\btaken for dead\b",
    r"\bhalf there\b",
    r"\bhave not unit\b",
    r"\bgives? vectors\b",
    r"\bheed(?:s|ed)?\b",
    r"\bis read on\b",
    r"\bnames no set\b",
    r"\bnobody remembers\b",
    # "one row a passage", "4.2 s a chunk": "per" is meant
    r"\b\d[\d.,]* ?s an? \w+",
    r"\b(?:one|two|three|\d+|an?) \w+ an? (?:passage|chunk|row|text|token|query|question|document|line|stage"
    r"|artifact|key|bundle|set|command|package|port|call|model|release|request|item|second|batch|pair|step)\b",
    # words with a plain name
    r"\bsheets?\b",
    r"\bspool(?:s|ed)?\b",
    r"\bsift(?:s|ed|ing)?\b",
    r"\bcarv(?:e|es|ed|ing)\b",
    r"\bsurvivors?\b",
    r"\bladder\b",
)
WORDS_OUT = re.compile("|".join(OUT))
# Frozen (the recorded replies belong to these prompts), written by others, or made by a tool.
NOT_OURS = re.compile(r"embedtune/sample/|/prompts/|pipelines/compiled/|^requirements/|^LICENSE$|\.(png|gz|ico)$")


def tracked(*patterns: str) -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted(name for name in listed if (ROOT / name).is_file())


def code() -> list[str]:
    return tracked("*.py")


def read(name: str) -> str:
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def test_a_file_has_one_idea() -> None:
    long = {name: lines for name in code() if (lines := read(name).count("\n")) > MAX_LINES}
    assert not long, f"more than {MAX_LINES} lines: split them by ideas"


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for name in code():
        for node in ast.walk(ast.parse(read(name))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield name, node


def test_a_function_fits_on_a_screen() -> None:
    found = []
    for name, function in functions():
        start = function.body[0].lineno if (name, function.name) in KFP_FORMS else function.lineno
        if (function.end_lineno or start) - start >= MAX_FUNCTION:
            found.append(f"{name}: {function.name}")
    assert not found, f"more than {MAX_FUNCTION} lines"


def test_a_function_takes_few_parameters() -> None:
    found = []
    for name, function in functions():
        arguments = function.args
        count = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs)
        if count > MAX_PARAMETERS and (name, function.name) not in KFP_FORMS:
            found.append(f"{name}: {function.name} takes {count}")
    assert not found, f"more than {MAX_PARAMETERS} parameters"


def test_a_package_says_what_it_is() -> None:
    packages = [name for name in code() if name.endswith("__init__.py") and not name.startswith("tests/")]
    assert not [name for name in packages if not ast.get_docstring(ast.parse(read(name)))]


def test_no_error_is_raised_in_an_except_star() -> None:
    """Python 3.11.2, which our images have, wraps it in a group again, so that nobody up the stack knows it."""
    assert not [
        name for name in code() if any(isinstance(node, ast.TryStar) for node in ast.walk(ast.parse(read(name))))
    ]


def test_no_word_that_is_out() -> None:
    found = [
        f"{name}:{number}: {match.group(0)!r}"
        for name in tracked()
        if not NOT_OURS.search(name) and name != "tests/test_house.py"
        for number, line in enumerate(read(name).splitlines(), 1)
        for match in WORDS_OUT.finditer(line)
    ]
    assert not found, "words that are out; CONTRIBUTING.md says what is written instead"
