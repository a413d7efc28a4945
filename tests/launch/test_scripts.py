"""The launchers: what local.py does with processes, what the scripts tell gcloud and Slurm."""

import os
import subprocess
import sys
import time
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

LAUNCH = Path(__file__).parents[2] / "launch"


def local(*arguments):
    return subprocess.run(
        [sys.executable, LAUNCH / "local.py", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_local_tells_each_process_its_place_and_marks_its_lines():
    code = "import os; e = os.environ; print(e['JAX_PROCESS_ID'], e['JAX_NUM_PROCESSES'])"
    done = local("3", "--", sys.executable, "-c", code)
    assert done.returncode == 0
    assert sorted(done.stdout.splitlines()) == ["[0] 0 3", "[1] 1 3", "[2] 2 3"]


def test_one_that_fails_ends_the_others_and_gives_its_status():
    code = "import os, sys, time; sys.exit(7) if os.environ['JAX_PROCESS_ID'] == '1' else 0; time.sleep(600)"
    done = local("2", "--", sys.executable, "-c", code)
    assert done.returncode == 7
    assert "process 1 of 2 ended with status 7" in done.stderr


def test_local_without_a_command_explains_itself():
    assert local("2").returncode == 2


@pytest.fixture
def fake(tmp_path):
    """Puts a program on PATH that notes its arguments and goes on with `body`."""
    (tmp_path / "bin").mkdir()

    def make(name, body=""):
        path = tmp_path / "bin" / name
        path.write_text(f'#!/bin/bash\nprintf "%s\\n" "{name} $*" >> {tmp_path}/calls\n{body}\n')
        path.chmod(0o755)

    return make


def script(tmp_path, name, *arguments, **environment):
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        [LAUNCH / name, *arguments],
        env={**os.environ, "PATH": path, "HOME": str(tmp_path), **environment},
        cwd=LAUNCH.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )


# Runs on this machine what it should run on the workers.
WORKER = 'while [[ $1 != --command ]]; do shift || exit 0; done; cd ~ && bash -c "$2"'


def test_tpu_vm_runs_the_very_command_on_all_workers_again_after_a_failure(tmp_path, fake):
    fake("gcloud", WORKER)
    fake("sleep")
    (tmp_path / "jresnet").mkdir()
    code = "import pathlib, sys; p = pathlib.Path('n'); n = len(p.read_text()) if p.exists() else 0; p.write_text('x' * (n + 1)); print(\"it's\", sys.argv[1]); sys.exit(n < 2)"
    done = script(tmp_path, "tpu_vm.sh", "run", sys.executable, "-c", code, "two words")
    assert done.returncode == 0, done.stderr
    log = tmp_path / "jresnet.log"
    deadline = time.monotonic() + 30
    while (tmp_path / "jresnet" / "n").exists() is False or log.read_text().count("it's") < 3:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    assert log.read_text().splitlines()[:4:2] == ["it's two words"] * 2
    assert "attempt 1 ended with status 1" in log.read_text()
    assert "tpu-vm ssh jresnet --worker=all" in (tmp_path / "calls").read_text()


def test_tpu_vm_dry_runs_every_action_and_calls_nothing(tmp_path, fake):
    fake("gcloud")
    words = {
        "create": "queued-resources create jresnet",
        "install": "scp",
        "status": "queued-resources describe",
        "logs": "tail",
        "stop": "pkill -TERM",
        "delete": "queued-resources delete",
    }
    for action, word in words.items():
        done = script(tmp_path, "tpu_vm.sh", "--dry-run", action, PROJECT="p")
        assert done.returncode == 0
        assert word in done.stdout.replace("\\", "")
        assert "--zone us-central2-b --project p" in done.stdout
    assert not (tmp_path / "calls").exists()
    resumed = script(tmp_path, "tpu_vm.sh", "--dry-run", "resume", "python", "-V").stdout
    assert [word in resumed for word in ("delete", "create", "scp", "nohup")] == [True] * 4
    for wrong in ([], ["fly"], ["run"], ["resume"]):
        assert script(tmp_path, "tpu_vm.sh", *wrong).returncode == 2


def test_tpu_vm_resumes_on_a_new_slice_once_there_is_one(tmp_path, fake):
    # Preempted twice before the queue gives one; to delete what is gone already is an error.
    state = f"""
case "$*" in
  *delete*) exit 1 ;;
  *describe*) echo >> {tmp_path}/asked; (( $(wc -l < {tmp_path}/asked) > 2 )) && echo ACTIVE || echo WAITING ;;
esac"""
    fake("gcloud", state)
    done = script(tmp_path, "tpu_vm.sh", "resume", "python", "-m", "experiments.cifar10", POLL="0")
    assert done.returncode == 0, done.stderr
    calls = [line for line in (tmp_path / "calls").read_text().splitlines() if "gcloud" in line]
    order = ["delete", "create", "describe", "describe", "describe", "scp", "tar", "nohup"]
    assert len(calls) == len(order)
    assert all(word in call for word, call in zip(order, calls, strict=True))
    assert "experiments.cifar10" in (tmp_path / "calls").read_text()


@pytest.mark.parametrize(
    ("status", "restarts", "queued"),
    [
        (0, "0", False),
        (2, "0", False),
        (1, "0", True),
        (1, "5", False),
        (75, "9", True),  # stopped and saved
    ],
)
def test_slurm_queues_again_what_failed_or_was_stopped(tmp_path, fake, status, restarts, queued):
    fake("srun", f"exit {status}")
    fake("scontrol")
    # sbatch runs the script, with what follows it.
    fake("sbatch", 'exec "$@"')
    job = {"SLURM_JOB_ID": "12", "SLURM_RESTART_COUNT": restarts}
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sbatch", LAUNCH / "slurm.sh", "python", "-m", "experiments.cifar10"],
        env={**os.environ, **job, "PATH": path},
        check=False,
    )
    assert done.returncode == status
    run = "--label python -m experiments.cifar10 --interrupted-status 75"
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[1] == f"srun --kill-on-bad-exit=1 {run}"
    assert ("scontrol requeue 12" in calls) == queued


@pytest.fixture(scope="module")
def jobset():
    return yaml.safe_load((LAUNCH / "kubernetes.yaml").read_text())


def test_kubernetes_takes_the_manifest(jobset):
    """The Job in the JobSet against Kubernetes' own schema, strictly; JobSet's few fields by hand."""
    assert (jobset["apiVersion"], jobset["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    assert set(jobset["spec"]) == {"network", "failurePolicy", "replicatedJobs"}
    (replicated,) = jobset["spec"]["replicatedJobs"]
    assert set(replicated) == {"name", "replicas", "template"}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "run"}}
    version = kubernetes_validate.latest_version()
    kubernetes_validate.validate({**job, **replicated["template"]}, version, strict=True)
    wrong = {**job, "spec": {**replicated["template"]["spec"], "completion": 3}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, version, strict=True)


def test_kubernetes_pods_are_as_many_as_they_are_told_and_what_they_stop_with_is_no_failure(jobset):
    network = jobset["spec"]["network"]
    replicated = jobset["spec"]["replicatedJobs"][0]
    spec = replicated["template"]["spec"]
    container = spec["template"]["spec"]["containers"][0]
    variables = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert spec["completions"] == spec["parallelism"] == int(variables["JAX_NUM_PROCESSES"])
    name, port = variables["JAX_COORDINATOR_ADDRESS"].split(":")
    pod = f"{jobset['metadata']['name']}-{replicated['name']}-0-0"
    assert name == f"{pod}.{network['subdomain']}"
    assert network["enableDNSHostnames"] is True
    assert int(port) == container["ports"][0]["containerPort"]
    rules = {
        code: rule["action"]
        for rule in spec["podFailurePolicy"]["rules"]
        for code in rule.get("onExitCodes", {"values": []})["values"]
    }
    assert rules == {2: "FailJob", 75: "Ignore"}
    assert "--interrupted-status 75" in container["command"][-1]


def test_shellcheck_finds_nothing():
    shellcheck = Path(sys.executable).with_name("shellcheck")
    subprocess.run([shellcheck, *LAUNCH.glob("*.sh"), LAUNCH.parent / ".ci" / "run"], check=True)
