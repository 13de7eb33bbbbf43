"""Bundles of 2 or 3 related passages of one split, for questions that need all of them."""

from collections.abc import Sequence

from embedtune.core.config.generate import GenerateSettings
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.retrieval.exact_search import top_k
from embedtune.generate.calls import draw
from embedtune.generate.passages import Passage

Bundle = tuple[Passage, ...]
NEIGHBOURS = 32
THREE_HOP_SHARE = 0.25  # of the bundles; few small questions really need three passages
DECIMALS = 3  # scores of another CPU differ in later digits; the neighbours shall not


def make_bundles(
    passages: Sequence[Passage],
    vectors: Vectors,
    settings: GenerateSettings,
    seed: int,
    known: Sequence[Sequence[str]],
) -> list[Bundle]:
    """Return bundles: the known ones, and new ones around passages that never headed one.

    A passage heads a bundle or not by hash alone, and a bundle once made is kept: new documents change none. One
    that new documents pulled into two splits is left out, and not made again with other passages: its questions
    were paid for.

    Args:
        passages: Passages to choose from, no boilerplate.
        vectors: Theirs, of the base model, shape (n, dimension).
        settings: Bundles a passage, and hops.
        seed: Of the configuration.
        known: Chunk ids of the bundles of an earlier run.
    """
    if settings.max_hops == 1:
        return []
    done = {chunk_ids[0] for chunk_ids in known}
    bundles = known_bundles(known, passages)
    for split in ("train", "dev", "test"):
        rows = [row for row, passage in enumerate(passages) if passage.split == split]
        heads = [
            row for row in rows if _heads(passages[row], settings, seed) and passages[row].chunk_id not in done
        ]
        if len(rows) > 1 and heads:
            bundles += _around(heads, rows, passages, vectors, settings, seed)
    return sorted(bundles, key=lambda bundle: [passage.chunk_id for passage in bundle])


def _heads(passage: Passage, settings: GenerateSettings, seed: int) -> bool:
    return draw(seed, "bundle", passage.chunk_id) < settings.bundles_per_chunk


def _around(
    heads: list[int],
    rows: list[int],
    passages: Sequence[Passage],
    vectors: Vectors,
    settings: GenerateSettings,
    seed: int,
) -> list[Bundle]:
    scores, places = top_k(vectors[heads], vectors[rows], min(NEIGHBOURS, len(rows)))
    bundles = []
    for head, row_scores, row_places in zip(heads, scores, places, strict=True):
        near = [
            (-round(float(score), DECIMALS), rows[place])
            for score, place in zip(row_scores, row_places, strict=True)
        ]
        near.sort(key=lambda pair: (pair[0], passages[pair[1]].chunk_id))
        bundle = _pick(passages[head], [passages[row] for _, row in near], settings, seed)
        if len(bundle) > 1:
            bundles.append(bundle)
    return bundles


def _pick(head: Passage, near: list[Passage], settings: GenerateSettings, seed: int) -> Bundle:
    """Take the nearest passages that are no near-duplicates; half of the bundles stay within a document."""
    hops = 3 if settings.max_hops == 3 and draw(seed, "hops", head.chunk_id) < THREE_HOP_SHARE else 2
    within = draw(seed, "within", head.chunk_id) < 0.5
    # Stable: of equal kind the nearer comes first.
    ordered = sorted(near, key=lambda passage: (passage.doc_id == head.doc_id) != within)
    bundle, groups = [head], {head.group_id}
    for passage in ordered:
        if len(bundle) < hops and passage.group_id not in groups:
            bundle.append(passage)
            groups.add(passage.group_id)
    return tuple(bundle)


def bundle_ids(bundles: Sequence[Bundle]) -> list[list[str]]:
    """Return the chunk ids of bundles, for a recording or the cache."""
    return [[passage.chunk_id for passage in bundle] for bundle in bundles]


def known_bundles(ids: Sequence[Sequence[str]], passages: Sequence[Passage]) -> list[Bundle]:
    """Return those bundles whose passages all exist and still share a split."""
    by_id = {passage.chunk_id: passage for passage in passages}
    found = []
    for chunk_ids in ids:
        bundle = tuple(by_id[chunk_id] for chunk_id in chunk_ids if chunk_id in by_id)
        if len(bundle) == len(chunk_ids) and len({passage.split for passage in bundle}) == 1:
            found.append(bundle)
    return found
