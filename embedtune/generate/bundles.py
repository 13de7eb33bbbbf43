"""Bundles of 2 or 3 related passages of one split, for questions that need all of them."""

from collections.abc import Sequence

from embedtune.core.config.generate import GenerateSettings
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.retrieval.beir import SPLITS
from embedtune.core.retrieval.exact_search import top_k
from embedtune.generate.passages import Passage
from embedtune.generate.questions_to_ask import draw

Bundle = tuple[Passage, ...]
NEIGHBOURS = 32
THREE_HOP_SHARE = 0.25  # of the bundles: few short questions really need three passages
DECIMALS = 3  # scores differ in later digits on different CPUs; the neighbours must not


def make_bundles(
    passages: Sequence[Passage],
    vectors: Vectors,
    settings: GenerateSettings,
    seed: int,
    known: Sequence[Sequence[str]],
) -> list[Bundle]:
    """Return the known bundles, and new ones around passages that have not started one before.

    The hash alone decides whether a passage starts a bundle, and a bundle is kept once it is made: new documents
    change none. A bundle that new documents pulled into two splits is left out but not replaced, since its
    questions were paid for.

    Args:
        passages: Passages to choose from, without boilerplate.
        vectors: Base-model vectors of the passages, shape (n, dimension).
        settings: Bundles per passage, and hops.
        seed: Seed of the configuration.
        known: Chunk ids of the bundles of an earlier run.
    """
    if settings.max_hops == 1:
        return []
    done = {chunk_ids[0] for chunk_ids in known}
    bundles = known_bundles(known, passages)
    for split in SPLITS:
        rows = [row for row, passage in enumerate(passages) if passage.split == split]
        new = [row for row in rows if passages[row].chunk_id not in done]
        first = [row for row in new if starts_bundle(passages[row], settings, seed)]
        if len(rows) > 1 and first:
            bundles += _around(first, rows, passages, vectors, settings, seed)
    return sorted(bundles, key=lambda bundle: [passage.chunk_id for passage in bundle])


def starts_bundle(passage: Passage, settings: GenerateSettings, seed: int) -> bool:
    """Return whether a passage is the first of a bundle."""
    return draw(seed, "bundle", passage.chunk_id) < settings.bundles_per_chunk


def _around(
    first: list[int],
    rows: list[int],
    passages: Sequence[Passage],
    vectors: Vectors,
    settings: GenerateSettings,
    seed: int,
) -> list[Bundle]:
    """Return a bundle for each row in `first`, made of its neighbours in `rows`, where there are any."""
    scores, places = top_k(vectors[first], vectors[rows], min(NEIGHBOURS, len(rows)))
    bundles = []
    for start, row_scores, row_places in zip(first, scores, places, strict=True):
        near = [
            (-round(float(score), DECIMALS), rows[place])
            for score, place in zip(row_scores, row_places, strict=True)
        ]
        near.sort(key=lambda pair: (pair[0], passages[pair[1]].chunk_id))
        bundle = _pick(passages[start], [passages[row] for _, row in near], settings, seed)
        if len(bundle) > 1:
            bundles.append(bundle)
    return bundles


def _pick(first: Passage, near: list[Passage], settings: GenerateSettings, seed: int) -> Bundle:
    """Return a passage and its nearest ones, without near-duplicates; half of the bundles prefer one document."""
    hops = 3 if settings.max_hops == 3 and draw(seed, "hops", first.chunk_id) < THREE_HOP_SHARE else 2
    within = draw(seed, "within", first.chunk_id) < 0.5
    # The sort is stable: within each kind, the nearer passage comes first.
    ordered = sorted(near, key=lambda passage: (passage.doc_id == first.doc_id) != within)
    bundle, groups = [first], {first.group_id}
    for passage in ordered:
        if len(bundle) < hops and passage.group_id not in groups:
            bundle.append(passage)
            groups.add(passage.group_id)
    return tuple(bundle)


def bundle_ids(bundles: Sequence[Bundle]) -> list[list[str]]:
    """Return the chunk ids of each bundle, for a recording or the cache."""
    return [[passage.chunk_id for passage in bundle] for bundle in bundles]


def known_bundles(ids: Sequence[Sequence[str]], passages: Sequence[Passage]) -> list[Bundle]:
    """Return the bundles whose passages all still exist and are still in one split."""
    by_id = {passage.chunk_id: passage for passage in passages}
    found = []
    for chunk_ids in ids:
        bundle = tuple(by_id[chunk_id] for chunk_id in chunk_ids if chunk_id in by_id)
        if len(bundle) == len(chunk_ids) and len({passage.split for passage in bundle}) == 1:
            found.append(bundle)
    return found
