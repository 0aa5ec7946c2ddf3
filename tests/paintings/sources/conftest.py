"""Small collections of synthetic paintings, in the layouts that people have."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jaxart.paintings.synthetic import Picture


Write = Callable[..., Path]


@pytest.fixture(scope="session")
def pictures(synthetic_pictures: list[Picture]) -> list[bytes]:
    """Eight synthetic paintings as JPEG files."""
    contents = []
    for picture in synthetic_pictures[:8]:
        file = io.BytesIO()
        Image.fromarray(np.asarray(picture.pixels)).save(file, "JPEG", quality=90)
        contents.append(file.getvalue())
    return contents


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes files, texts or bytes by name, and returns their root."""

    def write(files: dict[str, str | bytes], root: str = "collection") -> Path:
        for name, content in files.items():
            path = tmp_path / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            content = content.encode() if isinstance(content, str) else content
            path.write_bytes(content)
        return tmp_path / root

    return write


@pytest.fixture
def write_zip(tmp_path: Path) -> Write:
    """A function that writes a zip of files by name, and returns its path."""

    def write_zip(files: dict[str, str | bytes], name: str = "collection.zip") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in files.items():
                archive.writestr(member, content)
        return path

    return write_zip


@pytest.fixture
def write_parquet(tmp_path: Path) -> Write:
    """A function that writes rows in the layout of `huggan/wikiart`."""

    def write_parquet(
        columns: dict[str, list],
        classes: dict[str, list[str]],
        name: str = "hub/data/train-00000-of-00001.parquet",
        group: int = 3,
    ) -> Path:
        features = {
            column: {"names": names, "_type": "ClassLabel"}
            for column, names in classes.items()
        }
        described = json.dumps({"info": {"features": features}})
        table = pa.table(columns).replace_schema_metadata({"huggingface": described})
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, row_group_size=group)
        return tmp_path / name.split("/")[0]

    return write_parquet
