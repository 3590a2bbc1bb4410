"""The command identities."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from siamese.cli.program import Json, Stated, counting
from siamese.cli.verification_commands import open_model
from siamese.errors import OnCorrupt
from siamese.preprocessing import UNSTATED

if TYPE_CHECKING:
    from siamese.identities import Identities


def identities(
    folder: Annotated[Path, tyro.conf.Positional],
    output: Path = Path("identities.csv"),
    sheet: Path | None = None,
    model: Path | None = None,
    profile: Path | None = None,
    false_accept_rate: float = 0.01,
    on_corrupt: OnCorrupt = "error",
    preprocessing: Stated = UNSTATED,
    json_: Json = False,
) -> None:
    """Find out which images show one person, across cameras, without a label.

    Args:
        folder: Images at any depth; the names of people, where they are known, serve for scores.
        output: The table to write: image, identity, confidence.
        sheet: Picture of the largest identities, a row each; none by default.
        model: Model file, .keras, .onnx or .xml; by default the newest in runs, else `pretrained`,
            the one that comes with the program.
        profile: Profile of these cameras, which `siamese calibrate` wrote.
        false_accept_rate: Share of pairs of two people that the threshold takes for one.
        on_corrupt: What damaged images do: error names them all and ends, skip leaves them out.
        preprocessing: Of a model made elsewhere, where its file does not say.
        json_: Print one JSON object and nothing else.
    """
    from siamese import identities as stage
    from siamese.datasets import measure_coverage
    from siamese.profiles import read_profile

    stated = None if profile is None else read_profile(profile)
    opened = open_model(model, **preprocessing.given())
    with counting("images") as progress:
        found = stage.find_identities(
            folder,
            opened,
            profile=stated,
            false_accept_rate=false_accept_rate,
            on_corrupt=on_corrupt,
            progress=progress,
        )
    found.write(output)
    if sheet is not None:
        _draw(found, sheet)
    count = int(found.numbers.max()) + 1
    coverage = measure_coverage(folder, None, (each.path for each in found.samples))
    if json_:
        answer = {
            "images": len(found.numbers),
            "coverage": asdict(coverage),
            "identities": count,
            "threshold": found.threshold,
            "links": [vars(each) for each in found.links],
            "scores": None if found.scores is None else found.scores.to_dict(),
            "output": str(output),
            "model": str(opened.path),
            "fingerprint": opened.fingerprint,
        }
        print(json.dumps(answer, ensure_ascii=False))
        return
    print(f"images       {coverage.describe()}")
    print(f"identities   {count:,}, joined up to a distance of {found.threshold:.4f}")
    print(f"unsure       {len(found.links):,} pairs of identities may be one person")
    if (scores := found.scores) is not None:
        low, high = scores.bcubed_f1_interval
        print(
            f"people       {scores.people:,} known: B-cubed F1 {scores.bcubed_f1:.3f} "
            f"[{low:.3f}, {high:.3f}], precision {scores.bcubed_precision:.3f}, recall "
            f"{scores.bcubed_recall:.3f}"
        )
        print(
            f"             of pairs: precision {scores.pair_precision:.3f}, recall "
            f"{scores.pair_recall:.3f}; V-measure {scores.v_measure:.3f}"
        )
    print(f"model        {opened.path} ({opened.fingerprint})")
    print(f"wrote        {output}" + (f", {sheet}" if sheet is not None else ""))


def _draw(found: "Identities", path: Path, rows: int = 8, columns: int = 8) -> None:
    import numpy as np

    from siamese import plots
    from siamese.images import read_image

    heads, lines = [], []
    for number in range(min(rows, int(found.numbers.max()) + 1)):
        members = np.flatnonzero(found.numbers == number)[:columns]
        pictures = [read_image(found.samples[each].path) for each in members]
        heads.append((pictures[0], f"identity {number}"))
        lines.append(
            [
                plots.RankedImage(picture, None, f"{min(found.confidence[each], 0.999):.1%}")
                for picture, each in zip(pictures[1:], members[1:], strict=True)
            ]
        )
    plots.save(plots.plot_rank_lists(heads, lines, titles=False), path)
