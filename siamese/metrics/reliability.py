"""Whether predicted probabilities come true: reliability diagram and expected calibration error."""

from dataclasses import dataclass

import numpy as np

from siamese.errors import InputError
from siamese.metrics.blocks import Floats
from siamese.metrics.calibration import Calibration
from siamese.metrics.pairs import PairCounts


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: what was promised and what came true.

    Attributes:
        predicted: `(bins,)`, mean predicted probability in each bin that is not empty.
        observed: `(bins,)`, share of pairs of one person in it.
        share: `(bins,)`, share of all pairs in it; the sum is 1.
        expected_calibration_error: Mean of `|predicted - observed|` by share, 0..1.
    """

    predicted: Floats
    observed: Floats
    share: Floats
    expected_calibration_error: float


def measure_reliability(
    calibration: Calibration, pairs: PairCounts, *, bins: int = 10
) -> Reliability:
    """Compares predicted probabilities with what came true, at a prior of 50 : 50.

    Args:
        calibration: What predicts.
        pairs: Counted distances, best of people that the calibration did not see.
        bins: Of equal width on the probability, at least 1.

    Returns:
        The diagram (Guo et al., "On calibration of modern neural networks", 2017, equation 3).

    Raises:
        InputError: The metrics differ, or `bins` is below 1.
    """
    if calibration.metric != pairs.metric:
        raise InputError(
            f"The pairs must be measured by the calibration's metric, {calibration.metric!r}. "
            f"Received: {pairs.metric!r}. Count them again."
        )
    if bins < 1:
        raise InputError(f"`bins` must be at least 1. Received: bins={bins}.")
    distances, same, different = pairs.weights()
    predicted = calibration.probability(distances)
    place = np.minimum((predicted * bins).astype(np.int64), bins - 1)
    share: Floats = np.bincount(place, same + different, bins).astype(np.float64)
    used = share > 0
    mean = np.bincount(place, (same + different) * predicted, bins)[used] / share[used]
    observed = np.bincount(place, same, bins)[used] / share[used]
    error = float((np.abs(mean - observed) * share[used]).sum())
    return Reliability(mean, observed, share[used], error)
