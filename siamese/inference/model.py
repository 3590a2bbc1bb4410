"""An open model: embeds images and says whether two show the same person."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError
from siamese.inference.in_use import find_by_fingerprint, find_fastest
from siamese.inference.networks import Network, open_network
from siamese.inference.reading import (
    ImageLike,
    Images,
    Progress,
    list_images,
    read_any,
    read_batches,
)
from siamese.metrics.blocks import exact_distances
from siamese.metrics.calibration import Calibration, Verdict, known_rate
from siamese.metrics.likeness import Likeness, measure_appearance
from siamese.metrics.masks import UNKNOWN_CAMERA
from siamese.preprocessing import Channels, Pixels, Preprocessing, Three
from siamese.vectors import embed_batches

if TYPE_CHECKING:
    from siamese.profiles import Profile


@dataclass(frozen=True)
class Verification:
    """The answer for a pair of images.

    Attributes:
        verdict: "same", "probably same", "unsure", "probably different" or "different", by the
            probability: from 0.95, 0.6, 0.4 and 0.05 on, and below.
        same: Whether the distance is within the threshold: yes or no at a stated false-accept rate.
        distance: Between the two unit vectors, Euclidean, 0 to 2.
        threshold: The largest distance that is `same`.
        probability: Of the same person, 0 to 1.
        prior: The probability before the images were seen; 0.5 where nothing is known.
        bounds: The four distances, rising, at which the verdict changes with this prior; infinite
            where distance says nothing.
        verdict_same_share: Share of the pairs of one person that get this verdict, 0 to 1; None
            where it is not known, as from a profile that was made without labels.
        verdict_different_share: Share of the pairs of two people that get it.
        false_accept_rate: Share of pairs of two people that this threshold takes for one, 0 to 1,
            measured on people that training never saw.
        false_reject_rate: Share of pairs of one person that it takes for two; None where it is not
            known.
        model: The model file.
        fingerprint: Of its weights.
        unlikeness: How unlike the images of the calibration these two are, above 1 so that the
            error rates do not hold; see `siamese.metrics.likeness`. None where the model's file
            does not tell, and for a profile.
    """

    verdict: Verdict
    same: bool
    distance: float
    threshold: float
    probability: float
    prior: float
    bounds: tuple[float, ...]
    verdict_same_share: float | None
    verdict_different_share: float
    false_accept_rate: float
    false_reject_rate: float | None
    model: str
    fingerprint: str
    unlikeness: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Gives the fields by name, ready for JSON; bounds that are infinite are None."""
        bounds = [bound if np.isfinite(bound) else None for bound in self.bounds]
        return {**asdict(self), "bounds": bounds}


class Model:
    """A model file, open; `siamese.load_model` makes it. Threads may share one.

    Attributes:
        path: The file.
        metadata: What the file says about itself: recipe, calibration, scores, versions.
        calibration: How to read its distances; None where the file holds none.
        likeness: The appearance of the calibration's images; None likewise.
        fingerprint: Sixteen hexadecimal digits: embeddings compare where these are equal. The
            export of a model has the fingerprint of the model.
        preprocessing: Options by which `load_model` opens a model made elsewhere as this one was;
            None for others.
        runtime: The package that computes: "tensorflow", "jax", "onnxruntime" or "openvino".
        tells_channels: Whether the file itself says in which order it takes colours.
        image_size: Height and width in pixels that images are resized to.
        dimensions: Length of an embedding.
        network: What computes the embeddings.
    """

    def __init__(self, path: Path, network: Network) -> None:
        self.path = path
        self.metadata = network.metadata
        found = self.metadata.get("calibration")
        self.calibration = None if found is None else Calibration.from_dict(found)
        found = self.metadata.get("likeness")
        self.likeness = None if found is None else Likeness.from_dict(found)
        self.fingerprint = str(self.metadata["fingerprint"])
        self.preprocessing: dict[str, Any] | None = self.metadata.get("preprocessing")
        self.runtime = network.runtime
        self.tells_channels = network.tells_channels
        self.image_size = network.image_size
        self.dimensions = network.dimensions
        self.network = network

    def __repr__(self) -> str:
        height, width = self.image_size
        return f"<Model {self.path} {self.fingerprint}, {height} x {width} to {self.dimensions}>"

    def embed(
        self,
        images: Images,
        *,
        flip: bool = False,
        batch_size: int = 64,
        progress: Progress | None = None,
    ) -> NDArray[np.float32]:
        """Embeds images.

        Args:
            images: An image file, its bytes or an open file, a folder (its images at any depth, in
                the order of their paths), a Pillow image, an array or a tensor `(height, width)`,
                `(height, width, channels)` or `(images, height, width, channels)`, grey, RGB or
                RGBA, 0 to 255, or an iterable of any of these, such as a generator. Sizes may
                differ.
            flip: Average each embedding with that of the mirrored image.
            batch_size: Images computed at a time, at least 1.
            progress: Called with the images done and all images; of a generator the second number
                is as the first.

        Returns:
            `(images, dimensions)`, float32 unit vectors, in the order of the images.

        Raises:
            InputError: Something is not an image, a damaged one, or a folder without images.
        """
        if batch_size < 1:
            raise InputError(f"`batch_size` must be at least 1. Received: batch_size={batch_size}.")
        total = None
        if isinstance(images, Sequence | os.PathLike | np.ndarray):  # an iterator may be endless
            images = list(list_images(images))
            total = len(images)
        batches = read_batches(images, self.image_size, batch_size)
        parts, done = [np.zeros((0, self.dimensions), np.float32)], 0
        for found in embed_batches(self.network.run, batches, flip=flip):
            parts.append(found)
            done += len(found)
            if progress is not None:
                progress(done, total or done)
        return np.concatenate(parts)

    def verify(
        self,
        a: ImageLike,
        b: ImageLike,
        prior: float = 0.5,
        *,
        profile: "Profile | None" = None,
        cameras: tuple[int, int] = (UNKNOWN_CAMERA, UNKNOWN_CAMERA),
    ) -> Verification:
        """Says whether two images show the same person.

        Args:
            a: An image of any kind that `embed` takes.
            b: Another.
            prior: The probability of the same person before the images were seen, above 0 and below
                1; see `Calibration.probability`.
            profile: Of the cameras that the images come from, in place of the model's own
                calibration.
            cameras: Numbers of the two cameras in the profile, -1 where unknown.

        Raises:
            InputError: An image or the prior cannot be used, the model holds no calibration, or the
                profile is of another model.
        """
        pixels = [_read_one(image) for image in (a, b)]  # a wrong image is answered at once
        calibration = self.choose_calibration(profile)
        batches = read_batches(pixels, self.image_size, 1)
        rows = np.concatenate(list(embed_batches(self.network.run_once, batches)))
        if profile is not None:
            rows = profile.standardise(rows, cameras)
        found = self.judge(float(exact_distances(*rows)), calibration, prior)
        if profile is not None or self.likeness is None:
            return found
        one, other = measure_appearance(pixels)
        unlikeness = self.likeness.unlikeness(one[None], other[None])
        return replace(found, unlikeness=float(unlikeness[0]))

    def choose_calibration(self, profile: "Profile | None" = None) -> Calibration:
        """Returns the calibration of a profile, else the model's own.

        Raises:
            InputError: There is none, or the profile is of another model.
        """
        if profile is not None:
            profile.check(self.fingerprint, self.path)
            return profile.calibration
        if self.calibration is None:
            fix = "Finish the training with train_siamese_network.py --resume"
            if self.preprocessing is not None:
                fix = "Make a profile with siamese calibrate and give it as --profile"
            raise InputError(
                f"{self.path}: holds no calibration, because its training has not ended or because "
                f"it was made elsewhere. {fix}"
            )
        return self.calibration

    def judge(self, distance: float, calibration: Calibration, prior: float = 0.5) -> Verification:
        """Says what a Euclidean distance means by the model's calibration, or another of it."""
        false_accept_rate, false_reject_rate = calibration.error_rates(calibration.threshold)
        verdict = calibration.verdict(distance, prior)
        same_share, different_share = calibration.word_rates(prior)[verdict]
        return Verification(
            verdict=verdict,
            same=calibration.same(distance),
            distance=distance,
            threshold=calibration.threshold,
            probability=float(calibration.probability(distance, prior)),
            prior=prior,
            bounds=calibration.bounds(prior),
            verdict_same_share=known_rate(same_share),
            verdict_different_share=different_share,
            false_accept_rate=false_accept_rate,
            false_reject_rate=known_rate(false_reject_rate),
            model=str(self.path),
            fingerprint=self.fingerprint,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the model as its path, its fingerprint and what was stated of it."""
        return _unpickle, (str(self.path.absolute()), self.fingerprint, self.preprocessing)


def _unpickle(path: str, fingerprint: str, preprocessing: Mapping[str, Any] | None) -> Model:
    model = load_model(path, **(preprocessing or {}))
    if model.fingerprint != fingerprint:
        raise InputError(
            f"{path}: is not the model that was pickled, {fingerprint}. Received: "
            f"{model.fingerprint}. Pickle the model again."
        )
    return model


def _read_one(image: ImageLike) -> NDArray[np.uint8]:
    """Reads the one image: an error about it comes before the model has to be looked at."""
    single = list(list_images(image))
    if len(single) != 1:
        raise InputError(f"one image is needed. Received: {len(single)}. Give a single image.")
    return read_any(single[0])


def load_model(
    path: str | Path | None = None,
    *,
    image_size: tuple[int, int] | None = None,
    channels: Channels | None = None,
    pixels: Pixels | None = None,
    mean: Three | None = None,
    deviation: Three | None = None,
) -> Model:
    """Opens a model.

    The options are for a model made elsewhere, where its file does not say what it expects. It is
    still given RGB 0 to 255: what it expects is made of them.

    Args:
        path: A `.keras` file that training wrote; "pretrained"; "newest"; an `.onnx` file that
            `siamese export` wrote, or anybody else's that takes images, or an `.xml` of OpenVINO
            with its `.bin` beside it, which run without TensorFlow and Keras. None: the model in
            use, in its fastest form (`siamese.inference.in_use`).
        image_size: Height and width in pixels.
        channels: "rgb" or "bgr"; by default as the `.xml` says, and "rgb" for `.onnx`.
        pixels: "imagenet", "0..255", "0..1" or "minus_one_to_one"; by default as the `.xml` says,
            and "imagenet" for `.onnx`.
        mean: In place of `pixels`: of red, green and blue, for pixels scaled to 1, subtracted.
        deviation: What is divided by, in the same way.

    Raises:
        InputError: The file is missing, damaged or not a model, or the options do not fit it.
    """
    path = find_fastest(path)
    given = Preprocessing(image_size, channels, pixels, mean, deviation)
    return Model(path, open_network(path, given))


def reopen_model(
    path: str | Path | None,
    fingerprint: str,
    preprocessing: Mapping[str, Any] | None,
    made_with: str | None = None,
) -> Model:
    """Opens a model as it was when it made some embeddings, if it is the one that made them.

    Args:
        path: As `load_model` takes it; None: whichever of the known models made them.
        fingerprint: Of the model that made the embeddings.
        preprocessing: What was stated then, `Model.preprocessing`.
        made_with: Its file then.

    Returns:
        The open model; another than that one is opened as its file says.

    Raises:
        InputError: From `load_model`.
    """
    if path is None:
        path = find_by_fingerprint(fingerprint, made_with)
    if preprocessing is not None:
        with contextlib.suppress(InputError):  # what was stated of the one does not fit another
            model = load_model(path, **preprocessing)
            if model.fingerprint == fingerprint:
                return model
    return load_model(path)


def verify_pairs(
    model: Model,
    pairs: Sequence[tuple[str | Path, str | Path]],
    prior: float = 0.5,
    *,
    profile: "Profile | None" = None,
    cameras: Sequence[tuple[int, int]] | None = None,
    progress: Progress | None = None,
) -> list[Verification]:
    """Says of each pair whether both images show the same person.

    Args:
        model: An open model.
        pairs: Image files.
        prior: As in `Model.verify`.
        profile: As in `Model.verify`.
        cameras: Of each pair, numbers in the profile; None: all unknown.
        progress: Called with the images done and all images.

    Returns:
        What `Model.verify` says, in the order of the pairs.

    Raises:
        InputError: An image is missing or damaged, or as in `Model.verify`.
    """
    calibration = model.choose_calibration(profile)
    files = list(dict.fromkeys(str(each) for pair in pairs for each in pair))
    for file in files:  # a wrong path is answered before an hour of work
        if not Path(file).is_file():
            raise InputError(f"{file}: no such file. Give the path of an image.")
    rows = model.embed(files, progress=progress)
    places = {file: place for place, file in enumerate(files)}
    sides = [rows[[places[str(pair[side])] for pair in pairs]] for side in (0, 1)]
    if profile is not None:
        known = np.full((len(pairs), 2), UNKNOWN_CAMERA) if cameras is None else np.array(cameras)
        sides = [profile.standardise(each, known[:, side]) for side, each in enumerate(sides)]
    distances = exact_distances(*sides).tolist()
    return [model.judge(distance, calibration, prior) for distance in distances]
