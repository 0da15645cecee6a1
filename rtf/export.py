"""A model as ONNX graphs: `python -m rtf.export run=RUN out=DIR`."""

from omegaconf import DictConfig

from rtf.cli.command import command, resolved


@command("export")
def main(config: DictConfig) -> None:
    from rtf.encoding.export import export
    from rtf.encoding.load import load
    from rtf.encoding.shipped import run_folder

    config = resolved(config)
    model = load(config.run)
    out = export(model, config.out, {"run": run_folder(config.run).name})
    for path in sorted(out.iterdir()):
        print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")
    print(f"space {model.space}; how to use it: {out}/README.md")


if __name__ == "__main__":
    main()
