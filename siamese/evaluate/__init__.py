"""Stage: a model and people it has not seen -> a score report that can be trusted.

embedded   images of people -> embeddings with who is on them
query_gallery  a dataset folder, a record set or a table -> what asks and what is searched
scoring    embeddings -> ranking and verification scores
protocol   what was done, in words
evaluation  all of it: `evaluate`
report_images  which queries and pairs are shown
report     the score report as one HTML page, and the same pictures as PNG
score_files  scores.json and queries.csv, written and read
trials     of a small set: one query and one gallery image a person
small_set_protocol  random halves of the people, single shot: `evaluate_small_set`
compare    two score reports: is the difference more than noise?
"""

from siamese.evaluate.compare import Comparison, compare_scores
from siamese.evaluate.embedded import (
    EmbeddedImages,
    embed_records,
    embed_samples,
    first_queries,
    name_images,
)
from siamese.evaluate.evaluation import evaluate
from siamese.evaluate.scoring import (
    Reranking,
    Scores,
    pairs_of,
    sample_of,
    score_embedded,
    score_sources,
)

__all__ = [
    "Comparison",
    "EmbeddedImages",
    "Reranking",
    "Scores",
    "compare_scores",
    "embed_records",
    "embed_samples",
    "evaluate",
    "first_queries",
    "name_images",
    "pairs_of",
    "sample_of",
    "score_embedded",
    "score_sources",
]
