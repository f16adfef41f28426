"""Packaging of reskeras: what it needs, with bounds, and where its packages are."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
# onnx 1.23 and TensorFlow 2.21 take protobuf from 6.31.1 on; of NumPy all take 2, OpenVINO what is below 2.6
ONNX = ["onnx>=1.17,<2", "tf2onnx>=1.17,<2"]
ONNX_RUNTIME = "onnxruntime>=1.20,<2"
OPENVINO = "openvino>=2025,<2027"
DOCS = [
    "zensical==0.0.73",  # why this one: docs/site/zensical.toml
    "griffelib>=2,<3",
]

setup(
    name="reskeras",
    version="0.1.0",
    description="Residual networks as data: specs compiled to Keras 3 graphs, trained, measured and exported",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=[*find_packages(include=["reskeras", "reskeras.*"]), "reskeras_cli"],
    package_dir={"reskeras_cli": "cli"},
    package_data={
        "reskeras_cli": ["py.typed"],
        "reskeras": [
            "py.typed",
            "recipes/*.yaml",
            "spaces/*.yaml",
            "experiments/suites/*.yaml",
            "experiments/protocols/*.yaml",
            "report/templates/page.*",
        ],
    },
    install_requires=[
        "tensorflow>=2.21,<2.22",
        "keras>=3.15,<3.16",
        "pydantic>=2.10,<3",
        "keras-tuner>=1.4.8,<1.5",
        "grpcio>=1.60,<2",
        "PyYAML>=6,<7",
        "click>=8.1,<9",
        "rich>=13,<16",
        "numpy>=1.26,<3",
        "scikit-learn>=1.4,<2",
        "scipy>=1.11,<2",
        "pillow>=10,<14",
        "matplotlib>=3.8,<4",
        "jinja2>=3.1,<4",
        "tensorflow-datasets>=4.9.9,<5",
        "importlib_resources>=6,<8",  # tensorflow-datasets uses it and declares it only for Python below 3.9
        "tensorboard>=2.20,<3",  # Keras' callback imports it, and TensorFlow no longer brings it
        "ai-edge-litert>=2.0,<3",
        "packaging>=23",  # what tensorflow[and-cuda] requires, read from its metadata
        "requests>=2.31,<3",
        "urllib3>=2,<3",
        "tensorflow-serving-api>=2.19,<3",  # messages of warm-up requests
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],
        "port": ["safetensors>=0.4,<1"],  # and torch, where .pth is read or a state dict is proven
        "bench": ["torch>=2.13,<2.14"],
        "remote": ["fsspec>=2025.3,<2028", "s3fs>=2025.3,<2028", "gcsfs>=2025.3,<2028"],  # s3:// and gs://
        "onnx": [*ONNX, ONNX_RUNTIME],  # export --to onnx
        "openvino": [*ONNX, OPENVINO],  # export --to openvino, by way of ONNX
        "detect": ["pycocotools>=2.0.8,<3"],  # COCO's figures of detectors
        "video": ["av>=16,<19"],  # FFmpeg, for `detect predict` on videos
        "docs": DOCS,
        "test": [
            *DOCS,
            "pytest>=8,<10",
            "pytest-xdist>=3.5,<4",
            "ruff>=0.9,<1",
            "import-linter>=2,<3",
            "mypy>=1.13,<3",
            *ONNX,
            ONNX_RUNTIME,
            OPENVINO,
            "selenium>=4.20,<5",
            "selenium-axe-python>=2.2,<3",  # brings axe-core
            "safetensors>=0.4,<1",
            "pycocotools>=2.0.8,<3",
            "av>=16,<19",
            "torch>=2.13,<2.14",
            "jsonschema>=4.20,<5",
            "huggingface_hub>=1,<3",  # its ModelCard reads ours
            "markdown-it-py[linkify]>=3,<5",
            "s3fs>=2025.3,<2028",
            "moto[server]>=5,<6",  # an S3 server on loopback
        ],
        # libraries whose networks are ported, or which take detections; in a separate environment, because they need a
        # newer PyTorch than `test`
        "peers": [
            "pytest>=8,<10",
            "pytest-xdist>=3.5,<4",
            "safetensors>=0.4,<1",
            "torch>=2.14,<2.15",
            "torchvision>=0.29,<0.30",
            "timm>=1.0.20,<2",
            "keras-hub>=0.20,<1",
            "tf_keras>=2.21,<2.22",
            "supervision>=0.25,<1",
        ],
    },
    entry_points={"console_scripts": ["reskeras=reskeras_cli.main:main"]},
)
