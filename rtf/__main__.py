"""`rtf COMMAND ...` is `python -m rtf.COMMAND ...`."""

import runpy
import sys

COMMANDS = {
    "simulate": "a simulated, labelled survey",
    "preprocess": "a store from alerts in any format",
    "train": "a run folder: a trained model",
    "evaluate": "tables and figures of a run",
    "encode": "fingerprints of alerts",
    "stream": "fingerprints of alerts as they come, to a topic and an archive",
    "subscribe": "light curves and neighbours of alerts, from a topic of fingerprints",
    "archive": "fingerprints kept to be searched",
    "search": "what is alike or near in an archive",
    "export": "a model as ONNX graphs, for any language",
    "align": "a map from the fingerprints of one run to those of another",
    "fit": "a table of light-curve parameters",
    "check": "how far a simulated survey is from real data",
    "report": "tables and figures of many runs",
    "demo": "all of it on a small simulated survey",
}


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--version", "-V"):
        from rtf import __version__

        print(f"rtf {__version__}")
    elif name in COMMANDS:
        sys.argv[:2] = [f"rtf {name}"]
        runpy.run_module(f"rtf.{name}", run_name="__main__", alter_sys=True)
    else:
        lines = [f"  {command:12s}{makes}" for command, makes in COMMANDS.items()]
        text = "\n".join(["usage: rtf COMMAND [key=value ...]", "", *lines, ""])
        text += "\nrtf COMMAND --help lists its settings"
        if name in ("--help", "-h", "help"):
            print(text)
        else:
            sys.exit(f"rtf: no command {name!r}\n{text}")


if __name__ == "__main__":
    main()
