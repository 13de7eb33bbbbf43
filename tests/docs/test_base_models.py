"""The table of base models says what their contracts say."""

import re

import pytest

from embedtune.core.config.load import base_names, load_config
from tests.support.markdown import ROOT

PAGE = (ROOT / "docs" / "base-models.md").read_text(encoding="utf-8")
ROWS = {row[1].strip(" `"): row[2:] for line in PAGE.splitlines() if len(row := line.split("|")) == 10}
POOLING = {"mean": "mean", "cls": "first token", "lasttoken": "last token"}
PREFIXES = {(False, False): "none", (True, False): "queries", (True, True): "both"}


@pytest.mark.parametrize("name", base_names())
def test_each_base_has_a_row_with_its_contract(name):
    contract = load_config(f"minilm+{name}").contract
    model, _, sizes, longest, pooling, prefixes, licence = (cell.strip() for cell in ROWS[name][:7])
    assert model == contract.base_model or contract.base_model.startswith("package:")
    ends = [int(number) for number in re.findall(r"\d+", sizes)]
    assert ends == [contract.dimensions[0], contract.dimensions[-1]][: len(set(contract.dimensions[:2]))]
    assert int(longest) >= contract.max_length
    assert pooling.partition(",")[0] == POOLING[contract.pooling]
    assert prefixes.startswith(PREFIXES[bool(contract.query_prefix), bool(contract.passage_prefix)])
    assert licence
