"""Machines that make paintings, compiled.

The map
-------
Commands (`python -m jaxart.NAME --help`)::

    train.py           train a GAN
    sample.py          restore a checkpoint, draw samples
    explore.py         what a GAN learned: interpolation, arithmetic, deconvnet
    evaluate.py        how good its samples are: distances with errors
    prepare.py         a collection of paintings -> a dataset
    paint.py           a picture -> a painting, stroke by stroke

Rooms, each importing only from those below it::

    paintings/         where training pictures come from
        choice.py      which dataset a run reads, by name
        sources/       readers of collections
            inputs.py  which layout an input has, and the union of several
            painting.py      what a reader yields: a file and its labels
            files.py         where bytes lie: in a file, or in a zip left as it is
            tables.py        csv files as rows, and names that were mangled
            folder.py        any folder of pictures, with a csv
            kaggle.py        Painter by Numbers
            wikiart.py       ArtGAN's folders and lists of classes
            best_artworks.py Best Artworks of All Time
            huggingface.py   parquet files, here or on the hub
        vocabulary.py  one spelling for each style, genre and artist; years out of dates
        duplicates.py  pictures that are the same to the eye
        report.py      a page about a collection
        preparation.py a collection -> the dataset, resumed where it stopped
        shards.py      what is decoded in one go: inputs, records, what became of them
        workers.py     one function for many arguments, on all cores
        beam.py        the same on a cluster; the only file that knows Apache Beam
        dataset.py     the TFDS builder: what a record is, write and read ArrayRecord
        digits.py      the TFDS builder for MNIST's idx files
        invented.py    paintings made up with our own brush
        scenes.py      what is seen on them, before a stroke is laid
        reading.py     records read for their pixels alone
        resident.py    the whole dataset on the device, and batches cut from it there
        pipeline.py    shuffle, crop, batch, shard; the only file that knows Grain
    gan/
        convolution.py the strided and the transposed convolution, lowered to suit
                       the device
        networks.py    Generator, Discriminator
        update.py      the losses, and one update of both players
        loop.py        the loop of a run: updates, records, checkpoints
        runs.py        the settings of a run and its folder
        cost.py        what a run costs, known before it begins
        devices.py     that update on one device, on a mesh (jit), or with pmap
        latents.py     points of the generator's input space, and their pictures
        trained.py     networks as a run's checkpoint has them
        deconvnet.py   what a feature of the discriminator looks at
        quality.py     samples against crops of the dataset, as a network sees them
    painter/
        jobs.py        what the command does: paint a picture or a folder, redraw
        outputs.py     the files of a painting
        painting.py    a whole painting: what to call from Python
        problem.py     the picture at any size, distances, options
        settings.py    what a user chooses
        rounds.py      one round of strokes; a stage of rounds, compiled
        refinement.py  the joint refinement of all strokes
        placement.py   where the next strokes go: disjoint windows where the error is
        gradients.py   minimising a stroke's loss: differences, autodiff, random search
        distances.py   losses: squared error, VGG16's features
        medium.py      brush and pigment: from sRGB strokes to a canvas in paint space
        strokes.py     the eight parameters of a stroke, and drawing strokes in tiles
        brushes.py     brush marks: coverage and height, as a formula
        pigments.py    how paints mix
        saliency.py    weights of a picture's pixels
        relief.py      light on the height of the paint
        strokes_file.py  a painting's strokes on disk
        svg.py         a painting's strokes as shapes

    vgg.py             VGG16's convolutions, their weights, and LPIPS
    winograd.py        a 3 by 3 convolution with fewer products, on CPUs
    inception.py       InceptionV3's features, for those who have its weights
    weights.py         files of weights, read as if hostile
    metrics.py         Fréchet and kernel distance, precision, recall, nearest pictures
    batches.py         a compiled call over more items than it takes at once
    command.py         how each command starts; the only file that knows flags
    atomic.py          files written whole or not at all
    images.py          files <-> arrays, value ranges, grids
    figures.py         pictures with words: captions and rows
    films.py           pictures that move: GIF, WebP, MP4
    processes.py       several processes that train together
    records.py         progress bar, metrics.jsonl, TensorBoard, PNGs
    memory.py          the process's memory, kept for the next update
    machine.py         what the machine has: memory, and a rate of arithmetic
    checkpoints.py     save and restore; the only file that knows Orbax

Axis letters
------------
In jaxtyping's signatures: `b` pictures of a batch, `h` height, `w` width, `c`
channels, `i` input and `o` output channels, `z` latent numbers, `n` strokes or
pictures counted, `p` parameters, `k` windows of a round, `m` points or groups of tiles,
`t` tiles of a group. In `metrics.py` `n` and `m` rows of features, `c` features, `k`
neighbours, `r` rows of a block, `s` singular values.
"""
