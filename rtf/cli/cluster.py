"""What a SLURM cluster wants to be told about a job, read from one small YAML file of the user's own.

Importing this module registers the OmegaConf resolvers that conf/hydra/launcher/slurm_*.yaml use. The file is
$RTF_CLUSTER, else ./cluster.yaml, else ~/.config/rtf/cluster.yaml; without one SLURM's own defaults hold.
conf/cluster.example.yaml explains its settings.
"""

import os
import shutil
import subprocess
from pathlib import Path

import yaml
from omegaconf import OmegaConf

#: Settings of a job and their types; the names are those of Hydra's submitit launcher.
SETTINGS = {
    **dict.fromkeys(("partition", "account", "qos", "constraint", "gres"), str),
    **dict.fromkeys(("cpus_per_task", "mem_gb", "timeout_min", "signal_delay_s", "array_parallelism"), int),
    "setup": list,
    "additional_parameters": dict,
}
SECTIONS = ("gpu", "cpu")

#: Since SLURM 22.05 srun does not take from sbatch how many CPUs a task has, and gives it one.
_SRUN_CPUS = '[ -z "$SLURM_CPUS_PER_TASK" ] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK'


class ClusterError(ValueError):
    """The cluster file is not as it should be, or a launcher cannot do what a setting asks for."""


def cluster_file() -> Path | None:
    """The user's cluster file, if there is one."""
    if named := os.environ.get("RTF_CLUSTER"):
        if not Path(named).is_file():
            raise ClusterError(f"RTF_CLUSTER={named}: no such file")
        return Path(named)
    places = (Path("cluster.yaml"), Path.home() / ".config/rtf/cluster.yaml")
    return next((path for path in places if path.is_file()), None)


def read_cluster(path: Path | None) -> dict[str, dict]:
    """Settings of both sections, each with those at the top level that it does not set itself.

    Raises
    ------
    ClusterError : not YAML, an unknown setting, or a value of a wrong type; file and setting are named
    """
    try:
        content = yaml.safe_load(path.read_text()) if path else None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ClusterError(f"{path} is not YAML: {error}") from None
    content = _mapping(path, "the file", content)
    sections = {name: _mapping(path, name, content.pop(name, None)) for name in SECTIONS}
    for where, settings in (("", content), *((f"{name}.", sections[name]) for name in SECTIONS)):
        for key, value in settings.items():
            if key not in SETTINGS:
                known = ", ".join((*SECTIONS, *SETTINGS) if not where else SETTINGS)
                raise ClusterError(f"{path}: {where}{key} is no setting; there are {known}")
            kind = SETTINGS[key]
            if value is not None and type(value) is not kind:
                raise ClusterError(f"{path}: {where}{key} must be of type {kind.__name__}, not {value!r}")
            if kind is list and not all(isinstance(line, str) for line in value or ()):
                raise ClusterError(f"{path}: {where}{key} must be a list of lines, not {value!r}")
    return {name: {**content, **settings} for name, settings in sections.items()}


def _mapping(path: Path | None, what: str, value) -> dict:
    if not isinstance(value, dict | None):
        raise ClusterError(f"{path}: {what} must be a mapping of settings, not {value!r}")
    return dict(value or {})


def setting(section: str, key: str, default=None):
    """`${cluster:gpu,partition}`: a setting of the cluster file, or `default`."""
    value = read_cluster(cluster_file())[section].get(key)
    if key == "setup":
        return [_SRUN_CPUS, *(value or ())]
    if key == "additional_parameters":
        # So that a job comes back also where the cluster's default is that it does not.
        flags = {"requeue": True} | (value or {})
        return {name: flag for name, flag in flags.items() if flag is not False}
    return default if value is None else value


def tasks(devices) -> int:
    """`${tasks:${devices}}`: processes on each node, one for each device; ClusterError if it is no number."""
    if devices == "auto":
        return 1
    if isinstance(devices, int) and devices > 0:
        return devices
    raise ClusterError(f"devices is {devices}: on SLURM it must be one number for all runs of a sweep")


def gres(devices) -> str:
    """`${gres:${devices}}`: the generic resources of each node, so many GPUs."""
    return setting("gpu", "gres", "gpu:{gpus}").replace("{gpus}", str(tasks(devices)))


def gpus_here() -> int:
    """`${gpus_here:}`: GPUs of this machine."""
    import torch

    return torch.cuda.device_count()


for _resolver, _name in ((setting, "cluster"), (tasks, "tasks"), (gres, "gres"), (gpus_here, "gpus_here")):
    OmegaConf.register_new_resolver(_name, _resolver, replace=True)


def watch_queue() -> None:
    """Let submitit see by `squeue` that a job has ended, where SLURM keeps no accounts for `sacct`.

    Without it a job that died and left no result is waited for for ever.
    """
    from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

    if shutil.which("squeue") is None or _succeeds("sacct", "-n", "-X", "-j", "0"):
        return

    class QueueWatcher(SlurmInfoWatcher):
        def _make_command(self) -> list[str] | None:
            jobs = super()._make_command()
            return jobs and ["squeue", "--noheader", "--array", "--states=all", "--format=%A|%i|%T"]

        def read_info(self, string) -> dict:
            text = string if isinstance(string, str) else string.decode()
            found = {job: {"State": "ENDED"} for job in self._registered}  # forgotten, so ended
            for line in text.splitlines():
                number, name, state = line.strip().split("|")
                found |= {number: {"State": state}, name: {"State": state}}
            return found

    SlurmJob.watcher = QueueWatcher(delay_s=60)


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
