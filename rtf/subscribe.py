"""Light curves and neighbours of alerts from fingerprints alone: `python -m rtf.subscribe topic=TOPIC`."""

from itertools import islice

import numpy as np
from omegaconf import DictConfig

from rtf.cli.command import command, resolved


@command("subscribe")
def main(config: DictConfig) -> None:
    import rtf
    from rtf.archive import open_archive
    from rtf.encoding.shipped import fitting_model
    from rtf.stream.subscribe import subscribe

    config = resolved(config)
    if config.until not in (None, "end"):
        raise ValueError(f"until is {config.until!r}; it must be end, or null: until it is stopped")
    model = None if config.run == "auto" else rtf.load(config.run)
    archive = None if config.archive is None else open_archive(config.archive, create=False)
    alerts = subscribe(
        config.topic, config.brokers, group=config.group, settings=config.kafka, end=config.until == "end"
    )
    for alert in islice(alerts, config.most):
        model = model or rtf.load(fitting_model(space=alert["space"]))
        # eight bytes, or the floats
        latent = alert["fingerprint"]
        if latent is None:
            latent = model.from_code(np.frombuffer(alert["code"], np.uint8)[None])[0]
        days = alert["days"] + np.arange(-20.0, 1.0, 10.0)
        bands = np.full(len(days), model.survey.bands.index(alert["band"]))
        mag, _ = model.query(latent[None], days[None], bands[None])
        curve = " ".join(f"{m:.1f}" for m in mag[0])
        line = f"{alert['object_id']} {alert['mjd']:.3f}: {alert['band']} {curve}  {alert['most_probable']}"
        if archive is not None:
            near = archive.search(latent, config.k + 1, space=alert["space"], newest=True)["object_id"]
            line += "  like " + ", ".join(n for n in near.to_pylist() if n != alert["object_id"])
        print(line, flush=True)


if __name__ == "__main__":
    main()
