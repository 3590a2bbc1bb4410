"""The command evaluate."""

import json
from pathlib import Path
from typing import Annotated, Any

import tyro

from siamese.cli.program import Flag, counting, import_quietly


def evaluate(
    data: Path,
    model: Path | None = None,
    flip: Flag = False,
    json_: Annotated[Flag, tyro.conf.arg(name="json")] = False,
) -> None:
    """Score a model on people it has not seen: Rank-k, mAP, mINP, EER.

    Args:
        data: A dataset folder with a query and a gallery part, or the folder of a record set.
        model: Model file; by default the newest in runs.
        flip: Average each embedding with that of the mirrored image.
        json_: Print one JSON object and nothing else.
    """
    import_quietly("keras")
    from siamese.evaluate import evaluate as stage
    from siamese.verify import find_model

    with counting("images") as progress:
        card = stage(find_model(model), data, flip=flip, progress=progress)
    if json_:
        print(json.dumps(card, ensure_ascii=False))
        return
    print_scores(card, title=str(card["source"]))
    print(f"model        {card['model']} ({card['fingerprint']})")


def print_scores(card: dict[str, Any], *, title: str) -> None:
    """Prints a score card in a few lines."""
    left_out = card["queries_without_match"]
    print(title)
    print(
        f"  {card['protocol']}: {card['queries']:,} queries"
        + (f" ({left_out:,} more have no match)" if left_out else "")
        + f", gallery of {card['gallery']:,}"
    )
    if "untrained" in card:
        untrained = card["untrained"]
        print(
            f"  untrained    Rank-1 {untrained['rank1']:.3f}   mAP {untrained['mAP']:.3f}   "
            f"EER {untrained['eer']:.3f}"
        )
    print(
        f"  ranking      Rank-1 {card['rank1']:.3f}   Rank-5 {card['rank5']:.3f}   "
        f"Rank-10 {card['rank10']:.3f}   mAP {card['mAP']:.3f} (trapezoid "
        f"{card['mAP_trapezoid']:.3f})   mINP {card['mINP']:.3f}"
    )
    tar = "   ".join(f"{rate:.3f} at FAR {far}" for far, rate in card["tar_at_far"].items())
    print(f"  verification EER {card['eer']:.3f}   AUC {card['auc']:.3f}   accepted: {tar}")
    if "intervals" in card:
        names = {"rank1": "Rank-1", "mAP": "mAP", "mINP": "mINP", "eer": "EER"}
        shown = "   ".join(
            "{} {:.3f} to {:.3f}".format(label, *card["intervals"][name])
            for name, label in names.items()
        )
        print(f"  95 %         {shown}  (bootstrap over people)")
