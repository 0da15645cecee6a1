"""What is alike, or near, in an archive: `python -m rtf.search archive=DIR object=NAME`.

Or `like=ALERTS`, encoded with the model `run=`; or `position=ra,dec,radius_arcsec`.
"""

from functools import partial

from hydra.utils import instantiate
from omegaconf import DictConfig

from rtf.cli.command import command, resolved


@command("search")
def main(config: DictConfig) -> None:
    config = resolved(config)
    found, names = search(config)
    show(found, names, config.archive)
    if config.out is not None:
        from rtf.encoding.table import write_table

        write_table(found, config.out)
        print(f"{len(found):,} rows: {config.out}")


def search(config: DictConfig):
    """The rows found, a pyarrow.Table, and the names of the sources of `like`; None for another search."""
    from rtf.archive import ArchiveError, Where, open_archive
    from rtf.archive.rows import ANSWER

    if (config.object is None) + (config.like is None) == 0:
        raise ArchiveError("search for an object of the archive or for what is like alerts: not for both")
    where = Where(
        survey=config.survey, class_name=config["class"], min_probability=config.min_probability,
        since=config.since, until=config.until, min_detections=config.min_detections,
        max_detections=config.max_detections, cone=position(config.position),
    )  # fmt: skip
    archive = open_archive(config.archive, create=False)
    ask = partial(
        archive.search, k=config.k, where=where, newest=config.newest, exact=config.exact,
        columns=ANSWER if config.out is None else "all",
    )  # fmt: skip
    if config.like is not None:
        model = loaded(config, archive)
        space = archive.space(model.space)
        if config.space not in (None, space):
            archive.space(config.space)
            raise ArchiveError(
                f"{config.run} makes fingerprints of space {space}: leave space={config.space} out"
            )
        names, latent = encoded(config, model)
        return ask(latent, space=space, model=model), names
    decodes = config.object is not None and archive.keeps_codes_alone(config.space)
    model = loaded(config, archive) if decodes else None
    return ask(object_id=config.object, space=config.space, model=model), None


def position(text) -> tuple[float, ...] | None:
    """Three numbers of "ra,dec,radius", as text or a list."""
    from rtf.archive import ArchiveError

    if text is None:
        return None
    try:
        return tuple(float(x) for x in (text.strip("[]()").split(",") if isinstance(text, str) else text))
    except (TypeError, ValueError):
        raise ArchiveError(f"position={text} is not ra,dec,radius_arcsec, three numbers") from None


def loaded(config: DictConfig, archive):
    """The model that `run` names; auto: the one in the box of the archive's space."""
    import rtf
    from rtf.encoding.shipped import fitting_model, run_folder

    if config.run == "auto":
        config.run = str(fitting_model(space=archive.space(config.space)))
    return rtf.load(run_folder(config.run), config.device)


def encoded(config: DictConfig, model) -> tuple[list[str], object]:
    """Names and fingerprints (N, F) of the sources of `like`."""
    from rtf.alerts.history import concatenate
    from rtf.alerts.read import read_histories
    from rtf.alerts.report import NothingReadable, ReadReport
    from rtf.encoding.fingerprints import unsound

    reader = instantiate(config.reader, _convert_="all", cutouts=model.needs_cutouts)
    histories = read_histories(config.like, reader, report=ReadReport(), progress=config.progress)
    histories = [h for h in histories if len(h)]
    wrong = unsound(concatenate(histories))
    histories = [h for k, h in enumerate(histories) if k not in wrong]
    if not histories:
        raise NothingReadable(f"{config.like}: no source in it can be encoded")
    found = model.encode(histories)
    names = [h.object_id for h, good in zip(histories, found.finite, strict=True) if good]
    return names, found.take(found.finite).latent


def show(found, names: list[str] | None, archive: str) -> None:
    """A table of the rows on the screen."""
    from rtf.console import say
    from rtf.documents import Table, to_rich

    measured = [n for n in ("distance", "separation") if n in found.column_names]
    shown = [
        "object_id",
        *measured,
        "survey",
        "candid",
        "mjd",
        "n_detections",
        "most_probable",
        "strangeness",
    ]
    style = {"distance": ".4f", "separation": ".2f", "mjd": ".3f", "strangeness": ".3f"}
    heading = {"separation": "separation [arcsec]", "n_detections": "detections", "most_probable": "class"}
    rows = found.select([*(["query"] if "query" in found.column_names else []), *shown]).to_pylist()
    for number in range(1 if names is None else len(names)):
        own = [r for r in rows if r.get("query", 0) == number]
        cells = [["" if r[n] is None else format(r[n], style.get(n, "")) for n in shown] for r in own]
        title = archive if names is None else f"{archive}: like {names[number]}"
        notes = () if own else ("nothing passes the filters",)
        say(to_rich(Table(title, [heading.get(n, n) for n in shown], cells, notes)))


if __name__ == "__main__":
    main()
