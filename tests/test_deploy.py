"""The files of `deploy/` are what their readers take: units, manifests, compose, and the how-to."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parent.parent
DEPLOY = REPOSITORY / "deploy"
HOW_TO = (REPOSITORY / "docs" / "how-to" / "deploy.md").read_text(encoding="utf-8")


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    """No setting is unknown or misspelled."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "memcollab.service"
    text = (DEPLOY / "systemd" / "memcollab.service").read_text(encoding="utf-8")
    unit.write_text(text.replace("/opt/memcollab/bin/memcollab", "/bin/true"), encoding="utf-8")

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    about = [line for line in done.stderr.splitlines() if "memcollab" in line]
    assert (done.returncode, about) == (0, []), done.stderr


def test_the_manifests_are_what_kubernetes_takes() -> None:
    """Each validates against the published schema, unknown fields refused, and selects itself."""
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is absent")
    text = (DEPLOY / "kubernetes" / "memcollab.yaml").read_text(encoding="utf-8")
    manifests = {each["kind"]: each for each in yaml.safe_load_all(text)}
    for manifest in manifests.values():
        validate.validate(manifest, validate.latest_version(), strict=True)

    pod = manifests["Deployment"]["spec"]["template"]
    for kind in ("Deployment", "PodDisruptionBudget"):
        wanted = manifests[kind]["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= pod["metadata"]["labels"].items()
    selector = manifests["Service"]["spec"]["selector"]
    assert selector.items() <= pod["metadata"]["labels"].items()


def test_the_compose_file_holds_together() -> None:
    """What a service refers to (secrets, volumes, services, files) is there."""
    compose = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text(encoding="utf-8"))
    services = compose["services"]
    for name, service in services.items():
        assert set(service.get("secrets", [])) <= set(compose["secrets"]), name
        assert set(service.get("depends_on", [])) <= set(services), name
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            here = source.startswith(".") and (DEPLOY / "compose" / source).exists()
            assert here or source in compose["volumes"], (name, volume)
    built = services["memory"]["build"]
    assert (DEPLOY / "compose" / built["context"] / built["dockerfile"]).resolve().is_file()


def said_by(*command: str | Path, home: Path) -> str:
    """What a program says of a file that it takes; one that it does not take fails the test."""
    program = str(command[0])
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run(
        [str(each) for each in command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["compose", "systemd"])
def test_the_proxys_file_is_one_that_caddy_takes(kind: str, tmp_path: Path) -> None:
    """Caddy reads it, and sets up what it asks for."""
    file = DEPLOY / kind / "Caddyfile"
    command = ("caddy", "validate", "--adapter", "caddyfile", "--config", file)
    assert "Valid configuration" in said_by(*command, home=tmp_path)


def test_the_compose_file_is_one_that_compose_takes(tmp_path: Path) -> None:
    """Compose resolves it whole. Its version 1 is asked where no other is, which wants the files of
    the secrets to be there and does not know a project's name."""
    text = (DEPLOY / "compose" / "compose.yaml").read_text(encoding="utf-8")
    (tmp_path / "secrets").mkdir()
    for secret in ("database_password", "pgpass"):
        (tmp_path / "secrets" / secret).touch()
    file = tmp_path / "compose.yaml"
    file.write_text(re.sub(r"^name: .*$", "", text, flags=re.MULTILINE), encoding="utf-8")
    resolved = yaml.safe_load(said_by("docker-compose", "-f", file, "config", home=tmp_path))
    assert resolved["services"].keys() == yaml.safe_load(text)["services"].keys()


def test_the_kustomization_is_one_that_kubectl_builds(tmp_path: Path) -> None:
    """It gives the manifests, and nothing else."""
    built = said_by("kubectl", "kustomize", DEPLOY / "kubernetes", home=tmp_path)
    text = (DEPLOY / "kubernetes" / "memcollab.yaml").read_text(encoding="utf-8")
    kinds = [sorted(each["kind"] for each in yaml.safe_load_all(one)) for one in (built, text)]
    assert kinds[0] == kinds[1]


def test_the_files_are_started_with_options_that_serve_has() -> None:
    """Each command of the unit, the image and the how-to is one that the command line takes."""
    said = [
        *re.findall(r"bin/(memcollab .*)", (DEPLOY / "systemd" / "memcollab.service").read_text()),
        *re.findall(r"(memcollab (?:key|bank) [^`\n]*)", HOW_TO),
    ]
    assert len(said) > 3
    for command in said:
        words = re.findall(r"[a-z][a-z-]*", command.partition(" --")[0])
        options = set(re.findall(r"--[a-z-]+", command))
        verb = [word for word in words[1:3] if word in {"serve", "key", "create", "bank", "export"}]
        done = subprocess.run(
            [sys.executable, "-m", "memcollab.cli", *verb, "--help"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert options <= set(re.findall(r"--[a-z-]+", done.stdout)), command
