"""Apache Beam: a function mapped over many arguments on a cluster.

Each call leaves what it makes in a folder. So all machines must see the collection and
the data_dir under the same paths: a shared file system or a mounted bucket. Beam
divides the calls among them, and repeats those that fail; a call that is repeated, or
runs twice at once, leaves the same bytes.

Source: Akidau et al. 2015, "The Dataflow Model"; https://beam.apache.org.
"""

import shlex
from collections.abc import Callable, Generator, Sequence
from typing import Any


def parse_options(options: str) -> Any:
    """Return Beam's `PipelineOptions`.

    Args:
        options: as on Beam's command line, such as "--runner=FlinkRunner
            --flink_master=HOST:8081 --environment_type=LOOPBACK".

    Raises:
        ValueError: they cannot be understood, or Apache Beam is not installed.
    """
    try:
        from apache_beam.options import (  # pyright: ignore[reportMissingImports]
            pipeline_options,
        )
    except ImportError:
        raise ValueError(
            "beam_options need Apache Beam: pip install 'jaxart[beam]'"
        ) from None
    try:
        return pipeline_options.PipelineOptions(shlex.split(options))
    except ValueError as error:
        raise ValueError(
            f"beam_options must be those of Apache Beam; got {options!r}: {error}"
        ) from None


def run(
    function: Callable[[Any], int], arguments: Sequence[Any], options: Any
) -> Generator[int]:
    """Call a picklable function with each argument; return when all calls are done.

    It yields nothing: the results stay on the cluster, whose runner the options name.
    """
    import apache_beam as beam  # pyright: ignore[reportMissingImports]

    with beam.Pipeline(options=options) as pipeline:
        _ = (
            pipeline
            | beam.Create(list(arguments))
            | beam.Reshuffle()  # else one machine gets all of them
            | beam.Map(function)
        )
    yield from ()
