"""Machines that make paintings, compiled.

The map
-------
Commands (`jaxart NAME --help`, or `python -m jaxart.NAME --help`)::

    __main__.py        all of them as one program
    train.py           train a GAN
    sample.py          restore a checkpoint, draw samples; paintings of strokes at any
                       size, the generator's own or of its pixels
    explore.py         what a GAN learned: interpolation, arithmetic, deconvnet;
                       a film of its samples, and curves of its training
    evaluate.py        how good its samples are: distances with errors
    prepare.py         a collection of paintings -> a dataset
    paint.py           a picture -> a painting, stroke by stroke
    train_artist.py    train the network that knows where the next stroke goes

Packages, each importing only from those below::

    paintings/         where training pictures come from
        training_data.py  which dataset a run reads, by name
        sources/       readers of collections
            inputs.py  the layout of each input; several as one
            picture.py       what a reader yields: a file and its labels
            files.py         files on disk and in zips
            tables.py        csv files as rows, and lookup of mangled filenames
            folder.py        any folder of pictures, with a csv
            kaggle.py        Painter by Numbers
            wikiart.py       ArtGAN's folders and lists of classes
            best_artworks.py Best Artworks of All Time
            huggingface.py   parquet files, here or on the hub
        vocabulary.py  one spelling for each style, genre and artist; years of dates
        duplicates.py  perceptual hashes, and an index of them
        report.py      an HTML report on a collection
        preparation.py a collection -> the dataset; resumes after a kill
        shards.py      units of work: inputs, decoded records, manifests
        workers.py     a function mapped over arguments on all cores
        beam.py        the same on a cluster; the only file that knows Apache Beam
        dataset.py     the TFDS builder: features, splits, writing and reading
        digits.py      the TFDS builder for MNIST's idx files
        synthetic.py   the TFDS builder of paintings drawn with the painter's strokes
        scenes.py      what they show, as strokes
        labels.py      what is known of each picture
        pixel_records.py  records read for their pixels alone
        evaluation_crops.py  crops that a trained GAN is evaluated on
        atlas.py       the whole dataset in one array on the device, and crops of it
        pipeline.py    shuffle, draw crops, batch, shard; the only file that knows Grain
    gan/
        convolution.py the strided and the transposed convolution, lowered to suit
                       the device
        networks.py    Generator, Discriminator
        conditions.py  what pictures are asked to be: classes and titles, as numbers
        strokes.py     a generator that paints: strokes from latents, and their image
        losses.py      what both minimise, and penalties of the discriminator's gradient
        augment.py     random transformations of what the discriminator sees
        update.py      one update of generator and discriminator, and the average of G
        parallel.py    that update on one device, on a mesh (jit), or with pmap
        settings.py    the settings of a run, checked, and the networks they describe
        run_dir.py     the folder of a run: config, checkpoints, samples, metrics, lock
        run_log.py     progress bar, metrics.jsonl, TensorBoard, PNGs of samples
        run_metrics.py the lines of metrics.jsonl, read
        training_figures.py  a film of a run's samples, and its curves
        collapse.py    the watch on collapse, by what was measured of samples
        train_loop.py  the loop of a run: updates, samples, metrics, checkpoints
        cost.py        what a run costs, known before it begins
        latents.py     points of the generator's input space, interpolation, samples
        latent_figures.py    figures and frames of interpolation and arithmetic
        trained.py     networks restored from a run's checkpoint
        deconvnet.py   features of the discriminator projected back to pixels
        feature_figures.py   figures of what excites features, layer by layer
        feature_metrics.py   features of pictures, metrics on them, accuracy of D
        evaluation.py  metrics of samples, floor and noise, and accuracy of D
    painter/
        jobs.py        what the command does: paint a picture or a folder, redraw
        samples.py     a GAN's samples, painted
        outputs.py     the files of a painting
        painting.py    a whole painting: what to call from Python
        problem.py     the picture at any size, distances, options
        settings.py    what a user chooses
        rounds.py      one round of strokes; a stage of rounds, compiled
        refinement.py  the joint refinement of all strokes
        pruning.py     which strokes a painting needs least
        placement.py   where the next strokes go: disjoint windows where the error is
        artist.py      a network that proposes a stroke for each window, and its file
        artist_settings.py   the settings of its training
        artist_training.py   windows of unfinished paintings, and updates on them
        artist_run.py  a run of that training, resumed exactly
        gradients.py   minimising a stroke's loss: differences, autodiff, random search
        distances.py   losses: squared error, VGG16's features
        saliency.py    weights of a picture's pixels
        strokes_file.py  a painting's strokes on disk
        svg.py         a painting's strokes as shapes

    drawing/           strokes on a canvas; under all of the above
        strokes.py     the eight parameters of a stroke, and drawing strokes in tiles
        tiles.py       a canvas cut into tiles
        levels.py      strokes in the cells of grids, drawn for a batch of canvases
        brushes.py     brush marks: coverage and thickness, by formula or from a picture
        pigments.py    how paints mix
        medium.py      brush and pigment: from sRGB strokes to a canvas in paint space
        relief.py      light on the thickness of the paint

    vgg.py             VGG16's convolutions, their weights, and LPIPS
    titles.py          titles as numbers, from static embeddings
    winograd.py        3 by 3 and 4 by 4 convolutions with fewer products, for CPUs
    inception.py       InceptionV3's features, from weights that the user provides
    weights.py         files of weights, read as untrusted input
    metrics.py         Fréchet and kernel distance, precision, recall, neighbours
    spectra.py         checkerboards in pictures, by the spectra of rows and columns
    batches.py         map a compiled function over any number of items
    arguments.py       arguments that several commands share
    command.py         flags, configs, errors, signals; the only file that knows absl
    environment.py     what JAX takes from the environment, and its compilation cache
    terminal.py        names that cannot be printed, and pipes that are closed
    validation.py      settings and flags: their types and ranges
    atomic.py          files written whole or not at all
    images.py          files <-> arrays, value ranges, grids
    profiles.py        colour profiles: pictures of any colour space -> sRGB
    unsupported.py     formats of files that cannot be read, TIFFs that are misread
    pngs.py            PNGs without what is not their pixels
    figures.py         pictures and text laid out on white
    films.py           frames as GIF, WebP or MP4
    processes.py       several processes that train together
    malloc.py          keep freed memory in the process (glibc)
    machine.py         the machine's memory limit, processors and peak FLOP/s
    checkpoints.py     save and restore; the only file that knows Orbax

Axis letters
------------
In jaxtyping's signatures: `b` pictures of a batch, `h` height, `w` width, `c`
channels, `i` input and `o` output channels, `z` numbers of a point, `n` strokes or
pictures counted, `p` parameters, `k` windows of a round, `m` points or groups of tiles,
`t` tiles of a group. In `metrics.py` `n` and `m` rows of features, `c` features, `k`
nearest neighbours, `r` rows of a block, `s` singular values.
"""
