from pathlib import Path

from embedtune.ingest.chunk_file import ChunkFile, ChunkRow


def row(number: int, text: str, heading_path: list[str]) -> ChunkRow:
    return {
        "chunk_id": f"{number:016x}",
        "doc_id": "d",
        "text": text,
        "heading_path": heading_path,
        "position": number,
        "char_start": 0,
        "char_end": len(text),
        "n_words": 1,
        "n_tokens": 2,
    }


def test_chunks_are_read_in_any_order_and_the_file_is_deleted(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "chunks.jsonl"
    rows = [row(0, "a\nb", []), row(1, "größe", ["Größen", "1"]), row(2, "", [])]
    with ChunkFile(path) as chunks:
        for one in rows:
            chunks.append(one)
        assert len(chunks) == 3
        assert [chunks[2], chunks[0], chunks[1]] == [rows[2], rows[0], rows[1]]
        assert list(chunks) == rows
    assert not path.exists()
