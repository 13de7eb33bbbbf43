from pathlib import Path

from embedtune.ingest.spool import Spool


def test_rows_come_back_in_any_order_and_the_file_goes(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "rows.jsonl"
    rows = [{"text": "a\nb"}, {"text": "größe", "n": 3}, {}]
    with Spool(path) as spool:
        for row in rows:
            spool.append(row)
        assert len(spool) == 3
        assert [spool[2], spool[0], spool[1]] == [rows[2], rows[0], rows[1]]
        assert list(spool) == rows
    assert not path.exists()
