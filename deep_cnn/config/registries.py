"""What a flag offers as choices, a row each: names, labels and where the code is. Imports nothing to its right.

A row's `code` is "module:attribute"; the layer to the right that uses it calls `resolve`.
"""

import importlib
from typing import Any


def resolve(code: str) -> Any:
    """The object that "module:attribute" names."""
    module, _, attribute = code.partition(":")
    return getattr(importlib.import_module(module), attribute)
