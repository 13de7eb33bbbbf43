"""What LLM calls have cost survives the pods that made them."""

from pathlib import Path

from components.kept import kept
from embedtune.core.config.machine import StorageSettings
from embedtune.core.secrets import Secrets
from embedtune.generate.reply_source import REPLIES
from embedtune.llm.ledger import Balance, Ledger
from embedtune.serve.store.directory import open_objects


def test_the_ceiling_on_the_cost_holds_across_lost_pods(tmp_path: Path) -> None:
    place = open_objects(str(tmp_path / "kept"), StorageSettings(), Secrets())
    for number, usd in enumerate((2.0, 1.0)):
        cache = tmp_path / f"pod-{number}"
        with kept(place, cache, "replies"):
            ledger = Ledger(cache / REPLIES, "chunks")
            assert ledger.balance().spent_usd == (0.0, 2.0)[number]
            ledger.settle(str(ledger.reserve(usd, 3.5, 60.0)), usd)
            ledger.close()
    with kept(place, tmp_path / "pod-2", "replies"):
        ledger = Ledger(tmp_path / "pod-2" / REPLIES, "chunks")
        assert ledger.reserve(1.0, 3.5, 60.0) == Balance(3.0, 0.0, 0.0)  # 4 of 3.50 USD: refused
        ledger.close()
