"""`python -m jresnet COMMAND`: nets of the zoo, their weights, their evaluation, runs, the input, the machine."""

import inspect
import sys
from collections.abc import Callable, Sequence

from jresnet.errors import UsageError
from jresnet.run.ranges import check_words
from jresnet.runtime import terminal
from jresnet.store.bucket import is_remote
from jresnet.store.copy import copied

USAGE = """\
usage: python -m jresnet COMMAND

  list                      the nets of the zoo, with parameters, GMACs and paper
  summary NAME ...          one net: parameters, GMACs, feature shapes
  predict NAME IMAGE ...    the likeliest classes of image files and folders, or a run's own results
  evaluate NAME ...         errors on a labelled set, one view of an image, ten, or several scales;
                            or a run's own metrics
  ensemble FILE FILE ...    errors of the mean of what evaluate wrote
  embed NAME IMAGE ...      features of image files as .npz, and which pictures are alike
  push RUN DEST             a finished run as a folder or a repository that others load
  convert IN OUT ...        a checkpoint, checked against a net, as .safetensors or .npz
  export NAME ...           a net with its weights as one file for jax alone, or as ONNX
  runs DIR                  the runs of a folder: finished, running or stopped, and their results
  compare RUN RUN ...       the curves of several runs on one page
  input [DATASET] ...       images per second that the input pipeline gives by itself
  doctor                    versions, devices, data, and what is missing

The arguments of a net are flags: summary cifar_resnet --depth 110.
COMMAND --help tells more, COMMAND NAME --help lists the flags.
"""

# Commands whose flags depend on a net, and how it is named.
FLAGS_OF_NET = {
    "summary": "NET", "predict": "NET", "evaluate": "NET", "embed": "NET", "export": "NET",
    "convert": "--model NET",
}  # fmt: skip


def find_command(name: str) -> Callable[[Sequence[str]], int]:
    """The function of a command, imported when asked for: doctor must run where others cannot."""
    match name:
        case "list":
            from jresnet.commands.nets import list_nets as command
        case "summary":
            from jresnet.commands.nets import summary as command
        case "predict":
            from jresnet.commands.predict import predict as command
        case "evaluate":
            from jresnet.commands.evaluate import evaluate as command
        case "ensemble":
            from jresnet.commands.ensemble import ensemble as command
        case "embed":
            from jresnet.commands.embed import embed as command
        case "push":
            from jresnet.commands.push import push as command
        case "convert":
            from jresnet.commands.convert import convert as command
        case "export":
            from jresnet.commands.export import export as command
        case "runs":
            from jresnet.commands.runs import list_runs as command
        case "compare":
            from jresnet.commands.compare import compare as command
        case "input":
            from jresnet.commands.input import measure_input as command
        case "doctor":
            command = doctor
        case _:
            raise UsageError(
                f"command {name!r}: take list, summary, predict, evaluate, ensemble, embed, push, "
                "convert, export, runs, compare, input or doctor"
            )
    return command


def doctor(argv: Sequence[str]) -> int:
    """Versions, devices, whether jaxlib computes rightly, data, and what is missing."""
    from jresnet.commands.doctor import examine

    if argv:
        raise UsageError(f"doctor takes no arguments, not {' '.join(argv)}")
    return examine()


def _on_this_machine(name: str, words: Sequence[str]) -> list[str]:
    """A command's words, with the copy of each file or folder in an object store in its place.

    `runs` and `compare` read no checkpoints. Raises UsageError.
    """
    light, local, positional = name in ("runs", "compare"), [], 0
    for before, word in zip(("", *words), words, strict=False):
        positional += not word.startswith("--") and not before.startswith("--")
        # Results are written to this machine; these commands are told where by their second word.
        second = name in ("convert", "push") and positional > 1
        flag, equals, place = word.rpartition("=") if word.startswith("--") else ("", "", word)
        if is_remote(place) and not second and "--out" not in (before, flag):
            try:
                word = f"{flag}{equals}{copied(place, light)}"
            except OSError as error:
                raise UsageError(str(error)) from error
        local.append(word)
    return local


@terminal.program
def main(argv: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    name, *rest = argv or ["--help"]
    try:
        if name in ("-h", "--help", "help"):
            print(USAGE, end="")
            return 0
        command = find_command(name)
        if rest and rest[0] in ("-h", "--help"):
            print(inspect.getdoc(command))
            if name in FLAGS_OF_NET:
                print(f"\n`{name} {FLAGS_OF_NET[name]} --help` lists the flags.")
            return 0
        check_words(rest)
        return command(_on_this_machine(name, rest))
    except UsageError as error:
        terminal.complain(error)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
