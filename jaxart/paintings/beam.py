"""Apache Beam: the same functions for the same arguments, on a cluster's machines.

Each call leaves what it makes in a folder. So all machines must see the collection and
the data_dir under the same paths: a shared file system or a mounted bucket. Beam
divides the calls among them, and repeats those that fail; a call that is repeated, or
runs twice at once, leaves the same bytes.

Source: Akidau et al. 2015, "The Dataflow Model"; https://beam.apache.org.
"""

import shlex
from collections.abc import Callable, Generator, Sequence
from typing import Any


def each(
    function: Callable[[Any], int], arguments: Sequence[Any], options: str
) -> Generator[int]:
    """Call a function with each argument, and end when all calls are done.

    It yields nothing: what the calls return stays on the cluster.

    Args:
        function: picklable, as are its arguments.
        arguments: for one call each.
        options: Beam's own, as on its command line, such as "--runner=FlinkRunner
            --flink_master=HOST:8081 --environment_type=LOOPBACK".

    Raises:
        ValueError: Apache Beam is not installed.
    """
    try:
        import apache_beam as beam  # pyright: ignore[reportMissingImports]
        from apache_beam.options.pipeline_options import (  # pyright: ignore[reportMissingImports]
            PipelineOptions,
        )
    except ImportError:
        raise ValueError(
            "beam_options need Apache Beam: pip install 'jaxart[beam]'"
        ) from None
    with beam.Pipeline(options=PipelineOptions(shlex.split(options))) as pipeline:
        _ = (
            pipeline
            | beam.Create(list(arguments))
            | beam.Reshuffle()  # or one machine would be given all of them
            | beam.Map(function)
        )
    yield from ()
