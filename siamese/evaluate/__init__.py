"""Stage: a model and people it has not seen -> a score report that can be trusted.

embedded   images of people -> embeddings with who is on them
query_gallery  a dataset folder, a record set or a table -> queries and gallery
scoring    embeddings -> ranking and verification scores
evaluation  all of it: `evaluate`
score_report  its entries, and the protocol in words
score_files  scores.json and queries.csv, written and read
report     the score report as one HTML page (`report.html`), and the same pictures as PNG
report_images  the queries and pairs that are shown
trials     of a small set: one query and one gallery image a person
small_set_protocol  random halves of the people, single shot: `evaluate_small_set`
compare    two score reports: noise, or more
"""

from siamese.evaluate.compare import Comparison, compare_scores
from siamese.evaluate.embedded import embed_records, embed_samples, name_images
from siamese.evaluate.evaluation import evaluate
from siamese.evaluate.score_files import read_score_report
from siamese.evaluate.score_report import Reranking, ScoreReport
from siamese.evaluate.scoring import Scores, match, score_embedded, score_sources

__all__ = [
    "Comparison",
    "Reranking",
    "ScoreReport",
    "Scores",
    "compare_scores",
    "embed_records",
    "embed_samples",
    "evaluate",
    "match",
    "name_images",
    "read_score_report",
    "score_embedded",
    "score_sources",
]
