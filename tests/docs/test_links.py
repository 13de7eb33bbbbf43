"""Links between the documents lead somewhere, and the paths and settings that they name exist."""

import re
from pathlib import Path

import pytest

from embedtune.core.config.config import Config
from tests.support.markdown import LINK, ROOT, anchors, documents, prose, spans

TOP = ("embedtune", "components", "pipelines", "charts", "images", "tests", "bench", "docs", "requirements")
CHART = {"id", "publicKey", "releases", "caSecret", "secret", "cache", "withoutStoreHours", "image"}  # its values
NOT_KEYS = {"json", "py"} | CHART  # files, and values of the chart
PLACEHOLDER = re.compile(r"[<>*…{}]|NAME|ID\b")


@pytest.mark.parametrize("path", documents(generated=True), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    broken = []
    for target in LINK.findall(prose(path)):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_of_the_tree_exist(path: Path) -> None:
    named = [span for span in spans(path) if re.match(rf"({'|'.join(TOP)})/\S+$", span)]
    missing = [span for span in named if not PLACEHOLDER.search(span) and not (ROOT / span.rstrip("/")).exists()]
    if path.name == "CHANGELOG.md":  # names what is gone
        missing = [span for span in missing if span != "docs/configuration.md"]
    assert missing == []


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_settings_exist(path: Path) -> None:
    sections = {name: field.annotation for name, field in Config.model_fields.items()}
    unknown = []
    for span in spans(path):
        for section, key in re.findall(rf"^({'|'.join(sections)})\.(\w+)", span):
            if key not in getattr(sections[section], "model_fields", {}) and key not in NOT_KEYS:
                unknown.append(span)
    if path.name == "CHANGELOG.md":  # names what is gone
        unknown = [span for span in unknown if span not in ("evaluate.bootstrap_samples", "release.owner")]
    assert unknown == []


def test_documents_that_the_code_names_exist() -> None:
    missing = {}
    for folder in ("embedtune", "components", "pipelines", "images", "charts", "bench"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".yaml", ".tpl", ".txt", ".html", ".json"} and "sample" not in path.parts:
                named = re.findall(r"(?<![\w/])docs/[\w/-]+\.md", path.read_text(encoding="utf-8"))
                missing |= {name: str(path.relative_to(ROOT)) for name in named if not (ROOT / name).exists()}
    assert missing == {}
