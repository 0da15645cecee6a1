"""Trees beside a run, on all its training sources and on parts of them. On its own store: task=probe's."""

import json

from experiments import learning_curve
from experiments.same_sources import main
from rtf.evaluation.record import pick, read_evaluation
from rtf.evaluation.run import evaluate
from rtf.simulation.survey import SimulatedSurvey
from rtf.store.build import preprocess
from rtf.store.read import open_store
from tests.small_runs import train


def test_trees_of_the_same_sources(tmp_path, capsys):
    for seed, n, fractions in ((1, 160, [0.6, 0.2, 0.2]), (2, 60, [1, 0, 0])):
        survey = SimulatedSurvey(n, seed=seed)
        preprocess(survey, "", tmp_path / f"{seed}.zarr", fractions=fractions, workers=0, progress=False)
    own, more = tmp_path / "1.zarr", tmp_path / "2.zarr"
    train(own, tmp_path / "run", "epochs=1", "cls_weight=0.3")
    train(own, tmp_path / "more", "epochs=1", f"data.also_train=[{{store: {more}, weight: 0.5}}]")
    task = {"_target_": "rtf.evaluation.tasks.probe.probe", "_partial_": True}
    list(evaluate(tmp_path / "run", {"probe": task}, seed=0))
    (path,) = (tmp_path / "run/evaluations").glob("probe@*.json")
    records = read_evaluation(json.loads(path.read_text())).records
    trees = pick(records, score="accuracy", level="coarse", group="all", method="trees on summaries")
    main(str(tmp_path / "run"), str(own))
    alone = capsys.readouterr().out
    assert f"| coarse | {trees.value:.3f} [{trees.low:.3f}, {trees.high:.3f}] |" in alone
    store = open_store(own)
    n = len(range(store.n)[store.sources("train")])
    assert f"Trees that learnt from {n} sources" in alone
    main(str(tmp_path / "more"), str(own))
    assert f"Trees that learnt from {n + 60} sources" in capsys.readouterr().out
    # all of the training split is the last of the curve's shares, and the head stands beside it
    learning_curve.main(str(tmp_path / "run"), str(own))
    *_, trees, head = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    for line, method in ((trees, "trees on summaries"), (head, "head")):
        accuracy, f1 = (
            pick(records, score=score, level="supernovae", group="all", method=method)
            for score in ("accuracy", "macro F1")
        )
        assert line.endswith(f"| {accuracy.value:.3f} | {f1.value:.3f} [{f1.low:.3f}, {f1.high:.3f}] |")
