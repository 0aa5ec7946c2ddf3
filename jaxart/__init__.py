"""Machines that make paintings, compiled.

The map
-------
Commands (`python -m jaxart.NAME --help`)::

    train.py           train a GAN
    sample.py          restore a checkpoint, draw samples
    prepare.py         a collection of paintings -> a dataset

Rooms, each importing only from those below it::

    paintings/         where training pictures come from
        choice.py      which dataset a run reads, by name
        sources.py     readers of collections -> (file, labels)
        dataset.py     the TFDS builder: resize, reject, write ArrayRecord
        digits.py      the TFDS builder for MNIST's idx files
        invented.py    paintings made up with our own brush
        scenes.py      what is seen on them, before a stroke is laid
        pipeline.py    shuffle, crop, batch, shard; the only file that knows Grain
    gan/
        convolution.py the strided and the transposed convolution, lowered to suit
                       the device
        networks.py    Generator, Discriminator
        update.py      the losses, and one update of both players
        devices.py     that update on one device, on a mesh (jit), or with pmap
        latents.py     points of the generator's input space, and their pictures
    painter/
        strokes.py     the eight numbers of a stroke, and drawing it
        brushes.py     brush marks: coverage and height, made by formula

    command.py         how each command starts; the only file that knows flags
    images.py          files <-> arrays, value ranges, grids
    records.py         progress bar, metrics.jsonl, TensorBoard, PNGs
    checkpoints.py     save and restore; the only file that knows Orbax

Axis letters
------------
In jaxtyping's signatures: `b` pictures of a batch, `h` height, `w` width, `c`
channels, `i` input and `o` output channels, `z` latent numbers, `n` strokes or
pictures counted, `p` parameters.
"""
