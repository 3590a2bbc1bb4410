"""The commands info and use: which model answers."""

import json
from typing import Annotated, Any

import tyro

import siamese
from siamese.cli.program import Json


def model_info(json_: Json = False) -> None:
    """Say which model is in use, what it is, and which others there are.

    Args:
        json_: Print one JSON object and nothing else.
    """
    from siamese.inference.in_use import (
        PRETRAINED_NAME,
        find_model,
        finished_runs,
        model_in_use,
    )
    from siamese.models.checkpoint import PRETRAINED_LICENCE, read_metadata

    choice = model_in_use()
    path = find_model(None)
    metadata: dict[str, Any] = read_metadata(path) if path.suffix == ".keras" else {}
    start = metadata.get("starting_weights", {})
    licence = (
        PRETRAINED_LICENCE if choice.model == PRETRAINED_NAME else start.get("licence", "not named")
    )
    network = metadata.get("recipe", {}).get("model", {})
    found = {
        "version": siamese.__version__,
        "model": choice.model,
        "file": str(path),
        "why": choice.why,
        "fingerprint": metadata.get("fingerprint"),
        "backbone": network.get("backbone"),
        "image_size": metadata.get("image_size"),
        "starting_weights": start.get("weights"),
        "licence_of_starting_weights": licence,
        "others": [
            *([PRETRAINED_NAME] if choice.model != PRETRAINED_NAME else []),
            *(str(each) for each in finished_runs() if each != path),
        ],
    }
    if json_:
        print(json.dumps(found, ensure_ascii=False))
        return
    height, width = found["image_size"] or ("?", "?")
    print(f"siamese      {found['version']}")
    print(f"in use       {choice.model}")
    print(f"why          {choice.why}")
    print(f"network      {found['backbone']} at {height}x{width} ({found['fingerprint']})")
    print(f"licence      of the starting weights: {licence}")
    print(f"others       {', '.join(found['others']) or 'none'}; siamese use RUN|pretrained")


def use(model: Annotated[str, tyro.conf.Positional]) -> None:
    """Choose the model that answers where none is named.

    Args:
        model: A run, such as runs/osnet or osnet; a model file; or pretrained, the model that comes
            with the program.
    """
    from siamese.inference import use_model

    print(f"in use       {use_model(model, 'chosen with siamese use').model}")
