"""A real SLURM on one node of two cores, in a folder of the tests' own, and a small survey to train on."""

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from rtf.simulation.survey import SimulatedSurvey
from rtf.store.build import preprocess

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "squeue")

#: A requeued job waits until its credential has expired: 120 s, and 5 s is the least that SLURM takes.
CONF = """
ClusterName=rtf
SlurmctldHost=localhost
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
ReturnToService=2
SlurmctldPort={ctld}
SlurmdPort={d}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
NodeName=localhost CPUs=2 RealMemory={memory} State=UNKNOWN
PartitionName=batch Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """Folder of a SLURM that runs while the tests do; SLURM_CONF names it to all SLURM commands."""
    missing = [name for name in PROGRAMS if not shutil.which(name, path=_path())]
    if missing:
        pytest.skip(f"SLURM is not installed: no {', '.join(missing)} (Debian: slurm-wlm, munge)")
    if os.geteuid() != 0:
        pytest.skip("SLURM can only be started by root")
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("slurm")
        patch.setenv("PATH", _path())
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        with _started(folder):
            yield folder


def _path() -> str:
    return os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin"


@contextmanager
def _started(folder: Path):
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    ctld, d = _free_ports(2)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 // 2
    (folder / "slurm.conf").write_text(CONF.format(folder=folder, ctld=ctld, d=d, memory=memory))
    munge = [f"--{name}={folder}/munge.{end}" for name, end in
             (("socket", "socket"), ("key-file", "key"), ("pid-file", "pid"), ("log-file", "log"),
              ("seed-file", "seed"))]  # fmt: skip
    commands = (
        ["munged", "--foreground", "--force", *munge],
        ["slurmctld", "-D", "-f", folder / "slurm.conf"],
        ["slurmd", "-D", "-N", "localhost", "-f", folder / "slurm.conf"],
    )
    daemons = []
    try:
        for command in commands:
            with open(folder / f"{command[0]}.out", "w") as out:
                daemons.append(subprocess.Popen(command, stdout=out, stderr=out))
            if command[0] == "munged":
                until(lambda: (folder / "munge.socket").exists(), "munge", 20)
        try:
            until(lambda: "idle" in _output("sinfo", "-h", "-o", "%t"), "an idle node", 30)
        except TimeoutError:
            said = [line for out in folder.glob("*.out") for line in out.read_text().splitlines()[-3:]]
            pytest.skip("SLURM does not start here: " + "; ".join(said))
        yield
    finally:
        subprocess.run(["scancel", "--user=root"], capture_output=True)
        try:
            until(lambda: not _output("squeue", "-h"), "an empty queue", 30)
        finally:
            for daemon in reversed(daemons):
                daemon.terminate()
                daemon.wait(20)


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout


def until(condition, what: str, seconds: float = 200):
    """Wait for a condition, and give what it gave."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come about in {seconds} s")
        time.sleep(0.1)
    return value


@pytest.fixture(scope="session")
def survey(tmp_path_factory) -> Path:
    """A simulated survey of 60 sources."""
    path = tmp_path_factory.mktemp("survey") / "survey.zarr"
    preprocess(SimulatedSurvey(60, seed=1), "", path, workers=0, progress=False)
    return path
