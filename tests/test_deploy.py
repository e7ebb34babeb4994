"""The files of `deploy/` are what their readers take: units, manifests, compose, and the how-to."""

from __future__ import annotations

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
