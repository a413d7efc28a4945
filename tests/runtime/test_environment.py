"""The XLA flag, and the miscompilation it is for (jax issue 39103)."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from jresnet.runtime import environment as runtime
from jresnet.runtime.private import open_to_others, remove_foreign

ROOT = Path(__file__).parents[2]


def python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_this_suite_computes_rightly():
    assert not runtime.cpu_miscompiles()


def test_the_guard_sees_what_the_flag_cures():
    """If the first half fails on a new jaxlib, that one no longer needs the flag: note it."""
    code = "from jresnet.runtime import environment as runtime; print(runtime.cpu_miscompiles())"
    if jax.__version__ == "0.10.2":
        assert python(code, XLA_FLAGS="") == "True"
    with_flag = (
        f"from jresnet.runtime import environment as runtime; runtime.set_cpu_flag(); {code}"
    )
    assert python(with_flag, XLA_FLAGS="") == "False"


def test_a_flag_the_user_set_stays():
    code = (
        "import os; from jresnet.runtime import environment as runtime; runtime.set_cpu_flag(); runtime.set_cpu_flag(); "
        "print(os.environ['XLA_FLAGS'])"
    )
    flags = python(code, XLA_FLAGS="--xla_force_host_platform_device_count=2")
    assert flags.startswith("--xla_force_host_platform_device_count=2")
    assert flags.count(runtime.CPU_FLAG) <= 1


def test_versions_name_what_computes():
    assert runtime.versions()["jax"] == jax.__version__
    assert "not installed" not in runtime.versions().values()


def test_a_folder_outside_git_has_no_commit(tmp_path):
    assert runtime.git_commit(tmp_path) is None


def test_a_platform_that_is_not_there_is_refused_and_not_replaced():
    code = (
        "from jresnet.runtime import environment as runtime; from jresnet.errors import UsageError\n"
        "try: runtime.require_platform('tpu')\n"
        "except UsageError as error: print(error)"
    )
    assert "platform='tpu': expected 'cpu', all that jax" in python(code, JAX_PLATFORMS="cpu")
    assert "finds no device (platform 'tpu'" in python(code, JAX_PLATFORMS="tpu")


@pytest.mark.slow
def test_too_few_file_handles_are_said_in_one_line(tmp_path):
    words = f"{sys.executable} -m experiments.degradation --smoke --workdir {tmp_path / 'run'}"
    for limit in (16, 20, 63):
        done = subprocess.run(
            ["sh", "-c", f"ulimit -n {limit}; exec {words}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        assert done.stderr == (
            f"error: open files {limit}: expected a limit of at least 64; "
            "raise it by ulimit -n 1024\n"
        )
        assert not (tmp_path / "run").exists()


KEEP = """
import os, stat, jax, jax.numpy as jnp
from jresnet.runtime import environment as runtime
folder = runtime.keep_compiled()
jax.jit(lambda x: jnp.tanh(x @ x).sum())(jnp.ones((64, 64)))
print(folder, oct(stat.S_IMODE(os.stat(folder).st_mode)) if folder else "")
"""


def keep(home, **environment):
    """The lines that a fresh process prints, which keeps its compiled programs under `home`."""
    names = {
        "JAX_COMPILATION_CACHE_DIR": "",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return python(KEEP, **{"XDG_CACHE_HOME": str(home), **names, **environment}).split()


def test_what_is_compiled_is_kept_in_a_private_folder(tmp_path):
    folder, mode = keep(tmp_path)
    assert folder.startswith(f"{tmp_path}/jresnet/{importlib.metadata.version('jaxlib')}-")
    assert mode == "0o700"
    kept = {path.name for path in Path(folder).glob("*-cache")}
    assert any("lambda" in name for name in kept)
    assert keep(tmp_path)[0] == folder
    assert {path.name for path in Path(folder).glob("*-cache")} == kept  # found, not compiled anew


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    folder = Path(keep(tmp_path)[0])
    whole = {path.name: path.read_bytes() for path in folder.glob("*-cache")}
    killed = next(folder.glob("*-cache"))
    killed.write_bytes(killed.read_bytes()[:100])
    killed.with_name(killed.name.replace("-cache", "-atime")).unlink()
    keep(tmp_path)
    assert {path.name: path.read_bytes() for path in folder.glob("*-cache")}.keys() == whole.keys()
    assert killed.stat().st_size > 100


def loosen(folder, cache):
    cache.chmod(0o770)


def loosen_above(folder, cache):
    cache.parent.chmod(0o777)


def give_away(folder, cache):
    os.chown(cache, 12345, -1)


def give_the_one_above_away(folder, cache):
    os.chown(cache.parent, 12345, -1)


def link_of_another(folder, cache):
    cache.rename(folder / "elsewhere")
    cache.symlink_to(folder / "elsewhere")
    os.lchown(cache, 12345, -1)


def link_to_what_others_can_write(folder, cache):
    cache.rename(folder / "elsewhere")
    (folder / "elsewhere").chmod(0o702)
    cache.symlink_to("../elsewhere" if cache.parent != folder else "elsewhere")


def circle(folder, cache):
    shutil.rmtree(cache)
    cache.symlink_to(cache.name)


DANGERS = [
    loosen, loosen_above, give_away, give_the_one_above_away, link_of_another,
    link_to_what_others_can_write, circle,
]  # fmt: skip


@pytest.mark.parametrize("danger", DANGERS)
def test_a_cache_that_others_could_have_written_is_left_aside(
    tmp_path, danger, monkeypatch, caplog
):
    """By default and where JAX_COMPILATION_CACHE_DIR names it."""
    if os.getuid() != 0 and danger.__name__.startswith(("give", "link_of")):
        pytest.skip("only root gives files away")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(runtime, "_processor", lambda: "cpu")
    before = jax.config.jax_compilation_cache_dir
    cache = tmp_path / "jresnet" / f"{importlib.metadata.version('jaxlib')}-cpu"
    try:
        for chosen in (None, cache):
            jax.config.update("jax_compilation_cache_dir", chosen and str(chosen))
            (tmp_path / "jresnet").mkdir(exist_ok=True)
            cache.mkdir(0o700, exist_ok=True)
            danger(tmp_path, cache)
            caplog.clear()
            assert runtime.keep_compiled() is None
            assert jax.config.jax_compilation_cache_dir is None
            assert "compiled programs are not kept: " in caplog.text
            subprocess.run(["rm", "-rf", tmp_path / "jresnet", tmp_path / "elsewhere"], check=True)
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


def test_commands_leave_such_a_cache_aside_too(tmp_path, monkeypatch, caplog):
    before = jax.config.jax_compilation_cache_dir
    tmp_path.chmod(0o777)
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        runtime.prepare()
        assert caplog.text == ""
        jax.config.update("jax_compilation_cache_dir", str(tmp_path))
        runtime.prepare()
        assert jax.config.jax_compilation_cache_dir is None
        assert f"others can write to {tmp_path}" in caplog.text
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


def test_a_folder_under_tmp_and_links_of_one_s_own_are_private(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    (tmp_path / "shared" / "mine").mkdir(0o755)
    (tmp_path / "link").symlink_to("shared/../shared/mine")
    assert open_to_others(tmp_path / "link" / "not there yet") is None
    (tmp_path / "shared" / "mine").chmod(0o775)
    assert "others can write to" in str(open_to_others(tmp_path / "link"))


def test_programs_that_another_user_wrote_are_removed(tmp_path):
    if os.getuid() != 0:
        pytest.skip("only root gives files away")
    folder = Path(keep(tmp_path)[0])
    program, *_ = folder.glob("*-cache")
    planted = folder / f"planted{program.name}"
    shutil.copy(program, planted)
    os.chown(planted, 12345, -1)
    (folder / "link-cache").symlink_to(program)
    again = subprocess.run(
        [sys.executable, "-c", KEEP],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path), "JAX_COMPILATION_CACHE_DIR": ""},
        capture_output=True,
        text=True,
    )
    assert "2 programs were removed that others wrote" in again.stderr
    assert not planted.exists()
    assert not (folder / "link-cache").exists()
    assert program.exists()
    folder.chmod(0o755)  # now others come to the files in it
    program.chmod(0o664)
    assert remove_foreign(folder, "*-cache") == [program]


def test_jax_s_own_settings_of_the_cache_stand(tmp_path):
    assert keep(tmp_path, JAX_ENABLE_COMPILATION_CACHE="0") == ["None"]
    cache = tmp_path / "own"
    assert keep(tmp_path, JAX_COMPILATION_CACHE_DIR=str(cache)) == ["None"]
    assert list(cache.glob("*-cache"))
    assert not (tmp_path / "jresnet").exists()


def test_the_processor_is_told_with_its_vector_instructions(tmp_path):
    told = tmp_path / "cpuinfo"
    told.write_text(
        "processor\t: 0\nmodel name\t: A 9000\nflags\t\t: fpu sse4_2 avx avx2 avx512f\n\n"
        "processor\t: 1\nmodel name\t: B 1\nflags\t\t: fpu\n"
    )
    assert runtime.cpu_model(told) == "A 9000, AVX512F"
    told.write_text("processor\t: 0\nFeatures\t: fp asimd\n")
    assert runtime.cpu_model(told) == "ASIMD"
    assert runtime.cpu_model(tmp_path / "none") == platform.processor()
