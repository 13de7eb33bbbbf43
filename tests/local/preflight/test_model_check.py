"""What doctor notes about a base model."""

import json

from embedtune.core.config.load import parse_config
from embedtune.core.secrets import Secrets
from embedtune.local.preflight.finding import Finding, IntendedRun
from embedtune.local.preflight.model import check_model
from tests.support.public_forms import write_library_files
from tests.support.tiny_model import TINY_DIMENSION, make_tiny_model


def found(model, prefix="") -> list[Finding]:
    contract = {"base_model": str(model), "dimensions": [TINY_DIMENSION], "max_length": 64, "query_prefix": prefix}
    return list(check_model(IntendedRun(parse_config({"contract": contract}), Secrets(), frozenset({"train"}))))


def test_what_no_contract_can_be_compared_with_is_noted(tmp_path):
    model = make_tiny_model(tmp_path / "model")
    assert [one.status for one in found(model)] == ["fine"]
    write_library_files(model, prompts={"web_search": "Find: "})
    config = json.loads((model / "config.json").read_text()) | {"auto_map": {"AutoModel": "own.OwnModel"}}
    (model / "config.json").write_text(json.dumps(config))
    fine, prompts, code = found(model)
    assert (fine.status, prompts.status, code.status) == ("fine", "note", "note")
    assert 'web_search "Find: "' in prompts.found and "own.OwnModel" in code.found
    assert len(found(model, "Find: ")) == 2
