"""The files in deploy/ say what the program really does: no container engine runs here, so they are held against it."""

import importlib.metadata
import itertools
import re
import shlex
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from annotator.jobs import TASKS
from launcher.processes import process_types

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
HOME = "/var/lib/ecgfm"
# Where each process of the launcher runs in compose.
PLACES = {
    "web": ["web"], "worker": ["worker-cpu"], "loop": ["worker-loop"], "trainer": ["trainer-cpu", "trainer-gpu"],
    "beat": ["scheduler"],
}  # fmt: skip
PROCESSES = {process.name: process for process in process_types("0.0.0.0:8000")}


def settings_variables() -> set[str]:
    """Return every environment variable that the settings read."""
    text = (ROOT / "annotator" / "settings.py").read_text()
    return set(re.findall(r"(?:env\.\w+|_local_secret)\(\s*\"([A-Z_]+)\"", text))


def example_variables() -> dict[str, str]:
    """Return the variables of env.example with the line above each."""
    lines = (DEPLOY / "env.example").read_text().splitlines()
    found = {}
    for above, line in itertools.pairwise(lines):
        if match := re.fullmatch(r"(?:# )?([A-Z][A-Z_]+)=.*", line):
            found[match[1]] = above
    return found


def compose_variables() -> set[str]:
    """Return the variables that compose and the proxy put into their files, and compose's own."""
    text = (DEPLOY / "compose.yaml").read_text() + (DEPLOY / "Caddyfile").read_text()
    return set(re.findall(r"\{\$?([A-Z][A-Z_]+)", text)) | {"COMPOSE_PROFILES"}


def test_env_example_names_what_is_read_and_nothing_else():
    assert set(example_variables()) == settings_variables() | compose_variables()


def test_every_variable_has_a_line_of_meaning():
    for name, above in example_variables().items():
        assert re.fullmatch(r"# [A-Z`].{15,}[.:].*", above), f"{name}: {above!r}"


def test_defaults_in_env_example_are_those_of_the_settings():
    text = (ROOT / "annotator" / "settings.py").read_text()
    example = (DEPLOY / "env.example").read_text()
    for name, default in re.findall(r"env\.int\(\"([A-Z_]+)\", default=([\d_* ]+)\)", text):
        value = 1
        for factor in default.split("*"):
            value *= int(factor)
        assert f"# {name}={value}\n" in example


@pytest.mark.parametrize("name", PLACES)
def test_compose_runs_the_commands_of_the_launcher(name):
    wanted = [argument.replace("{home}", HOME) for argument in PROCESSES[name].command]
    for service in PLACES[name]:
        assert SERVICES[service]["command"] == wanted


def test_every_process_has_a_place_and_every_queue_a_worker():
    assert set(PLACES) == set(PROCESSES)
    assert {queue for process in PROCESSES.values() for queue in process.queues} == set(TASKS.values())


def test_no_job_of_hours_shares_a_worker_with_what_readers_wait_for():
    long = {"import_recordings", "build_release", "watch_folders", "score_pool", "score_arrivals", "train"}
    ticks = {"release_leases", "recover_jobs", "retrain_when_due", "measure_when_due"}
    for process in PROCESSES.values():
        taken = {task for task, queue in TASKS.items() if queue in process.queues}
        assert not taken & long or not taken & {"fill_round", "rerank_round", *ticks}, process.name


def test_exactly_one_trainer_a_profile_and_gpus_only_for_one():
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {"trainer-cpu": ["cpu"], "trainer-gpu": ["gpu"]}
    devices = SERVICES["trainer-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices[0]["capabilities"] == ["gpu"]
    assert "deploy" not in SERVICES["trainer-cpu"]


@pytest.mark.parametrize("name", ["migrate", *itertools.chain(*PLACES.values())])
def test_our_services_are_built_from_targets_that_exist(name):
    service = SERVICES[name]
    target = service["build"]["target"]
    assert re.search(rf"^FROM \S+ AS {target}$", DOCKERFILE, re.MULTILINE)
    assert target == ("web" if name in ("web", "migrate") else "worker")
    assert (DEPLOY / service["build"]["context"]).resolve() == ROOT
    assert (ROOT / service["build"]["dockerfile"]).exists()
    assert f"state:{HOME}" in service["volumes"]
    assert service["environment"]["DATABASE_URL"].endswith("@postgres:5432/ecgfm")


def test_data_outlive_their_containers():
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert set(COMPOSE["volumes"]) <= mounted
    assert "--appendonly" in SERVICES["valkey"]["command"]
    assert SERVICES["postgres"]["image"].startswith("pgvector/pgvector:pg")


def test_only_the_proxy_is_reached_from_outside():
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]


def test_what_others_wait_for_has_a_health_check():
    for service in SERVICES.values():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert SERVICES[needed]["healthcheck"]["test"]


def test_the_dockerfile_copies_what_exists_and_is_let_through():
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copies = [shlex.split(line)[1:] for line in DOCKERFILE.splitlines() if line.startswith("COPY")]
    assert len(copies) > 8
    for *sources, _ in copies:
        if sources[0].startswith("--from="):
            assert f"AS {sources[0].removeprefix('--from=')}\n" in DOCKERFILE
            continue
        for source in sources:
            assert (ROOT / source).exists(), source
            assert any(source == one or source.startswith(f"{one}/") for one in let_through), source


def test_images_install_from_the_constraints_and_run_as_nobody_special():
    installs = [line for line in DOCKERFILE.splitlines() if "pip install" in line]
    assert len(installs) == 2
    assert all("-c constraints.txt" in line for line in installs)
    assert '".[worker]"' in installs[1]
    for stage in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[3:]:
        assert "\nUSER ecgfm\n" in stage


def test_the_python_of_the_image_is_one_that_the_project_allows():
    python = re.search(r"^FROM python:([\d.]+)", DOCKERFILE, re.MULTILINE)
    assert python
    requires = importlib.metadata.metadata("ecgfm")["Requires-Python"]
    assert Requirement(f"python{requires}").specifier.contains(python[1])


def test_the_page_on_several_hosts_names_queues_and_folders_that_exist():
    page = (DEPLOY / "several-hosts.md").read_text()
    for queues in re.findall(r"--queues (\S+)", page):
        assert set(queues.split(",")) <= set(TASKS.values())
    named = set(re.findall(r"\b([A-Z]+_[A-Z_]+)\b", page))
    assert named <= settings_variables() | compose_variables()
