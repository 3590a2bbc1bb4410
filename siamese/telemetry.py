"""Switches off what other packages would report of their use; docs/responsible-use.md lists it."""

import importlib
import os
import sys
from typing import Any

SWITCHES: dict[str, dict[str, str]] = {
    "gradio": {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"},
    "onnxruntime": {"ORT_DISABLE_TELEMETRY": "1"},
    "ray": {"RAY_USAGE_STATS_ENABLED": "0"},
}
"""Environment variables that a package reads when it is imported."""

REPORTERS = {"openvino": "openvino_telemetry"}
"""Packages by which a package reports, and without which it works as well."""


def switch_off(package: str) -> None:
    """Sets what a package reads when it is imported: to be called right before."""
    os.environ.update(SWITCHES[package])


def import_silent(package: str) -> Any:
    """Imports a package that then reports to nobody.

    Args:
        package: Of `SWITCHES` or `REPORTERS`.

    Returns:
        The module.

    Raises:
        ImportError: It is not installed.
    """
    if package in SWITCHES:
        switch_off(package)
        return importlib.import_module(package)
    reporter = REPORTERS[package]
    before = sys.modules.get(reporter)
    sys.modules[reporter] = None  # type: ignore[assignment]  # from here on an import of it fails
    try:
        return importlib.import_module(package)
    finally:
        if before is None:
            del sys.modules[reporter]
        else:
            sys.modules[reporter] = before
