"""TensorFlow Datasets' builder of a prepared set, or a refusal that says where it was looked for and how to make it."""

from __future__ import annotations

import re
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from reskeras.data.described import check_description
from reskeras.errors import ReskerasError, failure
from reskeras.files import local_path

NODE = re.compile(r"^\s*\{\{function_node [^}]*\}\}\s*")  # what TensorFlow's messages begin with


def opened_builder(name: str, data_dir: str | Path | None) -> Any:
    """TFDS' builder of a set that is prepared; ReskerasError as `prepared.open_prepared` says."""
    if data_dir is not None:  # of a remote one, this set alone
        data_dir = local_path(data_dir, "data_dir", only=re.split(r"\W", name, maxsplit=1)[0])
        if not data_dir.is_dir():
            raise ReskerasError(f"data_dir: folder not found: {data_dir}")
    if re.match(r"\w+:[A-Za-z_]", name):  # what comes after a colon is a version, of other sources a name
        raise ReskerasError(
            f"data: tfds:{name} is in another namespace than TFDS' own, such as Hugging Face's, which is not supported"
        )
    import logging

    import tensorflow_datasets as tfds
    from google.protobuf.json_format import ParseError
    from tensorflow_datasets.core.dataset_info import DatasetInfoFileError
    from tensorflow_datasets.core.utils import file_utils

    logging.getLogger("absl").setLevel(logging.ERROR)  # else TFDS warns of the folder that we look for
    check_description(name, [Path(data_dir)] if data_dir else file_utils.list_data_dirs())
    try:
        builder = tfds.builder(name, data_dir=str(data_dir) if data_dir else None, try_gcs=False)
    except (ParseError, DatasetInfoFileError, JSONDecodeError, LookupError, TypeError, AttributeError) as error:
        raise failure(f"data: the description of tfds:{name} is broken: {first_line(error)}") from error
    except (tfds.core.DatasetNotFoundError, AssertionError, ValueError, RuntimeError, ImportError) as error:
        raise ReskerasError(f"data: TFDS cannot open {name!r}: {first_line(error)}") from error
    if not builder.is_prepared():
        where = f" --data_dir={data_dir}" if data_dir else ""
        raise ReskerasError(
            f"data: tfds:{name} is not prepared in {builder.data_dir}; point --data-dir to where it "
            f"is, or prepare it with: tfds build {name}{where} ({_download(builder)})"
        )
    return builder


def first_line(error: Exception) -> str:
    """The first line of what an error of TFDS or TensorFlow says, without the operation's name, at most 200 letters."""
    return (NODE.sub("", str(error)).strip().splitlines() or [type(error).__name__])[0][:200]


def _download(builder: Any) -> str:
    """What preparing a set would download, as far as TFDS knows beforehand."""
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        return "its files must be downloaded manually first"
    files = builder.url_infos
    size = sum(file.size for file in files.values() if isinstance(file.size, int))
    hosts = ", ".join(sorted({url.split("/")[2] for url in files if "//" in url}))
    return f"downloads {size / 1e6:.0f} MB from {hosts}" if size else "download size unknown"
