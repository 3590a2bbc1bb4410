"""The score report as one HTML page that needs nothing else, and its pictures as PNG."""

import base64
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from siamese import plots
from siamese.evaluate.report_images import Shown, draw_shown
from siamese.evaluate.score_report import ScoreReport
from siamese.files import write_text
from siamese.metrics.calibration import Reliability
from siamese.metrics.pairs import PairCounts
from siamese.metrics.ranking import RankingScores
from siamese.metrics.verification import VerificationScores

Drawings = Mapping[str, Callable[[], Figure]]
"""Functions that draw a figure each, by file name without suffix."""
_TEMPLATE = Path(__file__).with_name("report.html")
_HEIGHT = 160  # of a thumbnail: sharp on a phone, 4 kB


def draw_curves(
    report: ScoreReport,
    ranking: RankingScores,
    verification: VerificationScores,
    pairs: PairCounts,
    reliability: Reliability | None,
) -> Drawings:
    """Prepares the curves of a report; without a reliability diagram where it is None."""
    threshold, name = verification.eer_threshold, "equal errors at"
    if report.calibration is not None and report.calibration.metric == report.metric:
        owner = "model" if report.profile is None else "profile"
        threshold, name = report.calibration.threshold, f"the {owner}'s threshold"
    drawings: dict[str, Callable[[], Figure]] = {
        "cmc": lambda: plots.plot_cmc(
            ranking.cmc, queries=ranking.queries, gallery=ranking.gallery
        ),
        "roc": lambda: plots.plot_roc(
            verification.roc,
            eer=verification.eer,
            auc=verification.auc,
            tar_at_far=verification.tar_at_far,
        ),
        "distances": lambda: plots.plot_distances(
            *pairs.histogram(), threshold=threshold, name=name
        ),
    }
    if reliability is not None:
        drawings["reliability"] = lambda: plots.plot_reliability(
            reliability.predicted,
            reliability.observed,
            reliability.share,
            error=reliability.expected_calibration_error,
        )
    return drawings


def write_report(report: ScoreReport, curves: Drawings, shown: Shown, folder: Path) -> None:
    """Writes `report.html` with curves, rank lists and failures, and its pictures as PNG."""
    import jinja2

    for name, drawing in curves.items():
        plots.save(drawing(), folder / f"{name}.png")
    for name, figure in draw_shown(shown).items():
        plots.save(figure, folder / f"{name}.png")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(percent=_percent, span=_span, data_uri=_data_uri)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    model = Path(report.model)
    page = template.render(
        report=report,
        shown=shown,
        title=f"{model.parent.name}/{model.name}" if model.name == "model.keras" else model.name,
        data=Path(report.data).name,
        curves=[plots.to_svg(each) for each in curves.values()],
        json=json.dumps(replace(report, protocol_text=()).to_dict(), indent=1, ensure_ascii=False),
    )
    write_text(folder / "report.html", page)


def _percent(share: float, digits: int = 1) -> str:
    return f"{share:.{digits}%}"


def _span(interval: Sequence[float] | None) -> str:
    if not interval:  # undefined in the template: there is none
        return ""
    if list(interval) == [0, 1]:
        return "too few to say"
    return f"{100 * interval[0]:.1f} to {interval[1]:.1%}"


def _data_uri(image: plots.Image) -> str:
    picture = Image.fromarray(image)
    if picture.height > _HEIGHT:
        width = max(1, round(picture.width * _HEIGHT / picture.height))
        picture = picture.resize((width, _HEIGHT), Image.Resampling.LANCZOS)
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(target.getvalue()).decode()}"
