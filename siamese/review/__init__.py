"""Review: which pairs of a gallery to ask a person about next, and what the answers change.

    review = Review(gallery, "review")
    for pair in review.pairs():
        review.answer(pair, same=ask(pair.first.path, pair.second.path))
    calibration = review.recalibrate()

The folder holds `answers.csv`, `triplets.csv` (for training) and, after `recalibrate`,
`calibration.json`.

answers    people joined by names and answers; triplets
questions  the pairs that teach most; error rates from names and answers
session    `Review`: a gallery's answers, kept in a folder
"""

from siamese.review.answers import Answer, group, make_triplets
from siamese.review.questions import recalibrate, uncertain_pairs
from siamese.review.session import Review, ReviewPair

__all__ = [
    "Answer",
    "Review",
    "ReviewPair",
    "group",
    "make_triplets",
    "recalibrate",
    "uncertain_pairs",
]
