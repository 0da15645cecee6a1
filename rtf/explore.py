"""A page to look at an archive: `python -m rtf.explore archive=DIR [store=…] [history=…] [marks=FILE.csv]`.

It answers on this machine alone, at http://localhost:8765, until it is interrupted.
"""

from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from rtf.cli.command import command, resolved


@command("explore")
def main(config: DictConfig) -> None:
    config = resolved(config)
    state = explorer(config)
    if not config.serve:
        state.prepare_model()
        state.open()
        print(f"{state.points.n:,} objects are on the map of {config.archive}, space {state.space}")
        if state.model_note:
            print(state.model_note)
        return
    serve(state, config.port)


def explorer(config: DictConfig):
    """What the page looks at, as the settings say; nothing is read yet but the names in the stores."""
    from rtf.archive import open_archive
    from rtf.explorer.marks import Marks
    from rtf.explorer.sources import Light
    from rtf.explorer.state import Explorer
    from rtf.store.read import open_store

    archive = open_archive(config.archive, create=False)
    stores = [] if config.store is None else [config.store] if isinstance(config.store, str) else config.store
    light = Light([open_store(path) for path in stores], histories(config.history))
    load_model = None
    if config.run is not None:
        load_model = partial(model, config.run, config.device, archive, config.space)
    return Explorer(
        archive, config.space, light=light, load_model=load_model, marks=Marks(config.marks),
        sample=config.sample, refit=config.refit,
    )  # fmt: skip


def histories(folder: str | None):
    """The histories that a stream keeps in a folder; None for none."""
    if folder is None:
        return None
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"history={folder}: no such folder")
    try:
        from rtf.stream.history import open_histories
    except ImportError as error:
        raise ValueError(f"history={folder} needs the stream: {error}") from error
    return open_histories(folder)


def model(run: str, device: str, archive, space: str | None):
    """The model of a run, or of that name in the box; auto: the one in the box of the archive's space."""
    import rtf
    from rtf.encoding.shipped import fitting_model

    return rtf.load(fitting_model(space=archive.space(space)) if run == "auto" else run, device)


def serve(state, port: int) -> None:
    """Answer on this machine until interrupted."""
    try:
        import uvicorn

        from rtf.explorer.app import make_app
    except ImportError as error:
        raise ValueError(
            f"the page needs FastAPI and uvicorn: pip install rtf-fingerprints[explorer] ({error})"
        ) from error
    state.start()
    print(f"http://localhost:{port}  (Ctrl-C ends it)", flush=True)
    settings = uvicorn.Config(
        make_app(state), host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=1,
        limit_concurrency=100, server_header=False, proxy_headers=False,
    )  # fmt: skip
    try:
        uvicorn.Server(settings).run()
    finally:
        state.stopped.set()


if __name__ == "__main__":
    main()
