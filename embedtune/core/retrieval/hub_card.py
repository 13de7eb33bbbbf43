"""Makes a BEIR directory readable for `datasets` and mteb: one format, and a card that names the parts."""

import json
from collections.abc import Mapping
from pathlib import Path

from embedtune.core.retrieval.beir import QRELS_HEADER, Qrels

CARD = """\
---
configs:
- config_name: default
  data_files:
{splits}- config_name: corpus
  data_files:
  - split: corpus
    path: corpus.jsonl
- config_name: queries
  data_files:
  - split: queries
    path: queries.jsonl
---

Passages, questions, and which passages answer which question, in the layout of BEIR. embedtune reads
`qrels/*.tsv`; `qrels/*.jsonl` are the same judgements for the loaders of `datasets` and mteb.
"""
SPLIT = "  - split: {split}\n    path: qrels/{split}.jsonl\n"


def write_hub_card(path: Path, qrels: Mapping[str, Qrels]) -> None:
    """Write README.md, and the judgements once more as JSONL.

    Args:
        path: Directory with corpus.jsonl and queries.jsonl.
        qrels: The judgements by split; a split without any is left out, since the loaders refuse empty files.
    """
    judged = {split: rows for split, rows in qrels.items() if rows}
    for split, rows in judged.items():
        with (path / "qrels" / f"{split}.jsonl").open("w", encoding="utf-8") as stream:
            for query, passages in rows.items():
                for passage, score in passages.items():
                    row = dict(zip(QRELS_HEADER, (query, passage, score), strict=True))
                    stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    splits = "".join(SPLIT.format(split=split) for split in judged)
    (path / "README.md").write_text(CARD.format(splits=splits), encoding="utf-8")
