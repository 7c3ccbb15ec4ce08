"""Install with `pip install -e .`; the requirements are those of requirements.txt, the version that of the package."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "deep_cnn" / "__init__.py").read_text(encoding="utf-8"))[1]
REQUIREMENTS = (HERE / "requirements.txt").read_text(encoding="utf-8").split("\n")

setup(
    name="deep_cnn",
    version=VERSION,
    description="Fine-tune pretrained convolutional networks on your own images, from one command",
    packages=find_packages(include=["deep_cnn", "deep_cnn.*"]),
    package_data={
        "deep_cnn.reporting.report": ["templates/*.html"],
        "deep_cnn.models.zoo": ["shipped/*.pt", "shipped/*.md"],
    },
    python_requires=">=3.11",
    install_requires=[line for line in REQUIREMENTS if line and not line.startswith("#")],
    extras_require={
        "export": ["onnx", "onnxscript", "onnxruntime", "safetensors", "pyarrow"],
        "explain": ["captum"],
    },
)
