"""Training that may be stopped at any moment: under SLURM it goes on by itself, elsewhere by its command.

Notable:
- nothing is saved at a signal: the run folder has the end of the last epoch, and an epoch begun again is the
  same
- in a step of a SLURM job SIGTERM, SIGUSR1 and SIGUSR2 announce its end: preemption, the time limit, `scancel
  --signal`. The first of the processes has the job requeued; SLURM ends the others
- submitit requeues at SIGUSR2 alone. Its handler does it here for all three signals, because it counts how
  often a job ran out of time; a script of one's own is requeued with scontrol
- a job that is no longer running at the signal was cancelled, or SLURM requeues it itself: it is left alone
- the process then ends with SystemExit, which is no failure: submitit keeps no result, the run no failed.json
- a signal that comes while processes wait for one another is handled when that wait ends
"""

import logging
import os
import signal
import subprocess
import sys
import threading

from lightning.pytorch.callbacks import Callback

from rtf.training.runs import in_slurm_step, slurm_job

log = logging.getLogger(__name__)


class Preemption(Callback):
    """Handles signals while it is entered; one object for the `with` statement and the Trainer.

    Lightning registers handlers of its own when training begins, which talk to the other processes from
    within a signal and can wait for them forever; as a callback, this one takes its place again.

        with Preemption() as preemption:
            ...  # read data, build the model
            Trainer(callbacks=[preemption]).fit(...)
    """

    def __enter__(self) -> "Preemption":
        self.former, self.launcher = {}, None
        # says that it requeues, which its handlers, replaced below, never come to do
        logging.getLogger("lightning.pytorch.trainer.connectors.signal_connector").setLevel(logging.WARNING)
        if threading.current_thread() is threading.main_thread():  # no other can set handlers
            names = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2) if in_slurm_step() else (signal.SIGTERM,)
            self.former = {number: signal.getsignal(number) for number in names}
        self._set()
        return self

    def __exit__(self, *error) -> None:
        for number, handler in self.former.items():
            signal.signal(number, handler)
        self.former = {}

    def on_train_start(self, trainer, task) -> None:
        self.launcher = trainer.strategy.launcher
        self._set()

    def _set(self) -> None:
        for number in self.former:
            signal.signal(number, self._slurm if in_slurm_step() else self._plain)

    def _plain(self, number: int, frame) -> None:
        signal.signal(number, signal.SIG_DFL)  # who sends it again need not wait
        log.warning("%s: stopping; the same command continues", signal.Signals(number).name)
        if self.launcher is not None:  # processes for further devices, which Lightning began
            self.launcher.kill(signal.SIGKILL)
        sys.exit(128 + number)

    def _slurm(self, number: int, frame) -> None:
        if os.environ.get("SLURM_PROCID", "0") != "0":
            return  # leaving could end the step before the first process has had the job requeued
        for other in self.former:
            signal.signal(other, signal.SIG_IGN)  # once is enough
        name, job = signal.Signals(number).name, slurm_job()
        if "JobState=RUNNING" not in _scontrol("show", "job", job).split():
            log.warning("%s: job %s was ended; the same command continues the run", name, job)
        elif callable(submitit := self.former[signal.SIGUSR2]):
            log.warning("%s: job %s is requeued and goes on from its last epoch", name, job)
            submitit(number, frame)
        else:
            log.warning("%s: job %s is requeued and goes on from its last epoch", name, job)
            _scontrol("requeue", job)
        sys.exit(128 + number)


def _scontrol(*arguments: str) -> str:
    done = subprocess.run(["scontrol", *arguments], capture_output=True, text=True, timeout=60)
    if done.returncode:
        failed = f"scontrol {' '.join(arguments)} failed: {done.stderr.strip()}"
        raise RuntimeError(f"{failed}. The same command continues the run")
    return done.stdout
