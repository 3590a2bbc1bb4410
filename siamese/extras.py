"""Names the extra that brings a missing package, in one line."""

import importlib.util

from siamese.errors import InputError

EXTRAS: dict[str, tuple[str, ...]] = {
    "evaluate": ("scipy", "matplotlib", "jinja2"),
    "records": ("google_crc32c", "simplejpeg"),
    "train": ("keras", "tensorboard", "scipy", "matplotlib", "google_crc32c", "simplejpeg"),
    "gallery": ("lancedb", "pyarrow", "google_crc32c", "simplejpeg"),
    "app": ("gradio", "scipy", "matplotlib", "lancedb", "pyarrow", "google_crc32c", "simplejpeg"),
    "serve": ("fastapi", "uvicorn", "python_multipart"),
    "export": ("tf2onnx", "onnx"),
    "openvino": ("openvino",),
    "cluster": ("ray", "upath", "google_crc32c", "simplejpeg"),
}
"""Modules that each extra brings. Not TensorFlow: with JAX, Keras trains without it."""


def require(what: str, *extras: str) -> None:
    """Checks that the modules of extras are installed, without importing one.

    Args:
        what: What needs them, as the error says.
        *extras: Of `EXTRAS`.

    Raises:
        InputError: A module is not installed.
    """
    for extra in extras:
        for module in EXTRAS[extra]:
            if importlib.util.find_spec(module) is None:
                raise missing(what, module, extra)


def is_extra(module: str | None) -> bool:
    """Returns whether a module comes with an extra, as `ImportError.name` names it."""
    top = str(module).partition(".")[0]
    return top == "tensorflow" or any(top in modules for modules in EXTRAS.values())


def missing(what: str, module: str, extra: str | None = None) -> InputError:
    """Returns the error that says how to install a module.

    Args:
        what: What needs it.
        module: Its name.
        extra: That brings it; by default the first of `EXTRAS`.
    """
    top = module.partition(".")[0]
    if extra is None:
        extra = next((name for name, modules in EXTRAS.items() if top in modules), "train")
    return InputError(
        f"{what} needs {top}, which is not installed. Install it: pip install "
        f'"siamese-reid[{extra}]"'
    )
