"""One program for all commands: `jaxart COMMAND …` or `python -m jaxart COMMAND …`.

The same as `python -m jaxart.COMMAND …`. Only the command that runs is imported.
"""

import runpy
import sys

from jaxart import terminal


COMMANDS = {
    "paint": "paint a picture, or a folder of pictures, stroke by stroke",
    "train_artist": "train the network that knows where the next stroke goes",
    "prepare": "make a dataset of collections of paintings",
    "train": "train a GAN, or resume a run",
    "sample": "draw samples from a checkpoint",
    "explore": "what a GAN learned, and a film and curves of its training",
    "evaluate": "measure the quality of a GAN's samples",
}


def main() -> None:
    """Run the command that is the first argument; without one, list them all."""
    terminal.set_up()
    program, *arguments = sys.argv
    if not arguments or arguments[0] in ("-h", "-help", "--help"):
        summaries = "".join(f"  {name:14}{text}\n" for name, text in COMMANDS.items())
        print(f"usage: jaxart COMMAND [--help] …\n\ncommands:\n{summaries}", end="")
        return
    name, *arguments = arguments
    if name not in COMMANDS:
        print(
            f"error: command must be one of {', '.join(COMMANDS)}; got {name!r}",
            file=sys.stderr,
        )
        sys.exit(2)
    try:
        import jax  # noqa: F401
    # JAX reads its variables of the environment now.
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    sys.argv = [program, *arguments]
    runpy.run_module(f"jaxart.{name}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
