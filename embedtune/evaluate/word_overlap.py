"""Word overlap: how much of the questions' wording is in the passages that answer them.

Word overlap of a question: the weight of its distinct words that its passage contains, divided by the weight of
all of them. Words weigh what BM25 gives them (`embedtune.core.retrieval.bm25`): ln(1 + (N - n + 0.5) / (n + 0.5))
for a word in n of N passages. Of several relevant passages, the one with the greatest overlap counts.
"""

import math
from collections import Counter
from collections.abc import Set as AbstractSet

from embedtune.core.retrieval.beir import RetrievalSet
from embedtune.core.retrieval.shingles import words


def word_overlap(data: RetrievalSet) -> float:
    """Return the mean word overlap of the queries, from 0 to 1; those without words or passages do not count."""
    asked = {query.id: frozenset(words(query.text)) for query in data.queries}
    vocabulary = frozenset().union(*asked.values())
    relevant = {chunk_id for judged in data.qrels.values() for chunk_id, score in judged.items() if score > 0}
    counts: Counter[str] = Counter()
    found: dict[str, AbstractSet[str]] = {}
    for passage in data.corpus:
        shared = vocabulary.intersection(words(passage.text))
        counts.update(shared)
        if passage.id in relevant:
            found[passage.id] = shared
    total = len(data.corpus)
    weight = {word: math.log(1 + (total - counts[word] + 0.5) / (counts[word] + 0.5)) for word in vocabulary}
    shares = []
    for query, own in asked.items():
        passages = [found[chunk_id] for chunk_id, score in data.qrels[query].items() if score > 0]
        whole = sum(weight[word] for word in own)
        if whole and passages:
            shares.append(max(sum(weight[word] for word in own & passage) for passage in passages) / whole)
    return sum(shares) / len(shares) if shares else 0.0
