"""Titles as numbers: the mean of static embeddings of their tokens.

The embeddings and the tokenizer are files of the package `wordllama`, which the extra
`titles` installs; its own loader would download them, so they are read from here, and
checked by their hashes.

Source: wordllama 0.4.0.post1, whose embeddings are those of a language model, fitted to
tell which texts mean the same.
"""

import functools
import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float


SIZE = 256  # numbers of a title
MAX_TITLE = 1_000  # characters that are read

WEIGHTS = "weights/l2_supercat_256.safetensors"
TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
SHA256 = {
    WEIGHTS: "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
    TOKENIZER: "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
}


def check_installed() -> None:
    """Check that titles can be read.

    Raises:
        ValueError: the extra `titles` is not installed.
    """
    for name in ("wordllama", "tokenizers"):
        if importlib.util.find_spec(name) is None:
            raise ValueError(
                f"titles must have the package {name}: pip install 'jaxart[titles]'"
            )


def embed(titles: Sequence[str]) -> Float[np.ndarray, "n 256"]:
    """Return a row of length 1 for each title; zeros for one without a word.

    Raises:
        ValueError: the extra `titles` is not installed, or its files are others.
    """
    rows = np.zeros((len(titles), SIZE), np.float32)
    if not any(titles):
        return rows
    tokenizer, table = _load()
    for row, title in zip(rows, titles, strict=True):
        # A command line that is not UTF-8 leaves characters that have no encoding.
        text = title[:MAX_TITLE].encode(errors="replace").decode()
        encoded = tokenizer.encode(text, add_special_tokens=False)
        if title and encoded.ids:
            mean = table[encoded.ids].astype(np.float32).mean(axis=0)
            row[:] = mean / max(float(np.linalg.norm(mean)), 1e-6)
    return rows


@functools.cache
def _load() -> tuple[Any, Float[np.ndarray, "n 256"]]:
    """Return the tokenizer, and the embedding of each token."""
    check_installed()
    import safetensors.numpy
    import tokenizers  # pyright: ignore[reportMissingImports]

    tables = safetensors.numpy.load(_read(WEIGHTS))
    (table,) = tables.values()
    return tokenizers.Tokenizer.from_buffer(_read(TOKENIZER)), table


def _read(name: str) -> bytes:
    spec = importlib.util.find_spec("wordllama")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / name
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise ValueError(f"{path} must be that of wordllama 0.4.0.post1")
    return content
