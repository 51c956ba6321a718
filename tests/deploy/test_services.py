"""compose.yaml, the systemd unit, the udev rules and the guide: readable by what reads them, and of one mind."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edge_wbc.cli.run import run
from edge_wbc.sinks.base import SINKS
from edge_wbc.sources.base import SOURCES
from edge_wbc.uri import parse
from tests.deploy.recipe import JETPACKS, ROOT, stages, values

SERVICE = ROOT / "deploy" / "edge-wbc.service"
RULES = ROOT / "deploy" / "99-edge-wbc.rules"
COMPOSE = ROOT / "deploy" / "compose.yaml"
INSTRUMENT = "/dev/edge-wbc-instrument"


def compose(jetpack: str) -> dict[str, Any]:
    """The one service, as a parser of the Compose specification reads it, which refuses unknown keys and values."""
    compose_spec = pytest.importorskip("compose_spec", reason="compose-spec is not installed; pip install compose-spec")
    text = re.sub(r"\$\{JETPACK(:\?[^}]*)?\}", jetpack, COMPOSE.read_text())
    read = compose_spec.PyCompose.from_yaml(text)
    read.validate()
    content: dict[str, Any] = read.to_dict()
    service: dict[str, Any] = content["services"]["edge-wbc"]
    named = {volume.partition(":")[0] for volume in service["volumes"] if isinstance(volume, str)}
    assert named == content["volumes"].keys()
    return service


def check_run(arguments: list[str]) -> None:
    """``edge-wbc run …`` as its own command line reads it."""
    assert arguments[0] == "run"
    given = run.make_context("run", arguments[1:]).params
    assert parse(given["source"], SOURCES).path == "/dev/video0"
    sinks = [parse(sink, SINKS) for sink in given["to"]]
    assert INSTRUMENT in [sink.path for sink in sinks]


def unit(section: str) -> dict[str, str]:
    text = SERVICE.read_text().split(f"[{section}]\n")[1].split("\n[")[0]
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


@pytest.mark.parametrize("jetpack", JETPACKS)
def test_compose_runs_the_image_of_the_jetpack(jetpack):
    service = compose(jetpack)
    assert service["image"] == f"edge-wbc:jetpack-{jetpack}"
    assert {key: str(value) for key, value in service["build"]["args"].items()} == {"JETPACK": jetpack}
    assert (COMPOSE.parent / service["build"]["context"] / service["build"]["dockerfile"]).resolve().is_file()
    assert service["runtime"] == "nvidia"
    check_run(service["command"])
    _, last = stages(jetpack)[-1]
    assert f"state:{values(last, 'VOLUME')[0]}" in service["volumes"]


def test_compose_passes_through_what_the_guide_does():
    commands = re.findall(r"^docker run .*$", (ROOT / "docs" / "jetson.md").read_text(), re.MULTILINE)
    words = shlex.split(commands[-1])
    pairs = list(pairwise(words))
    service = compose("6")
    check_run(words[words.index(service["image"]) + 1 :])
    assert ("--runtime", service["runtime"]) in pairs
    devices = {device for option, device in pairs if option == "--device"}
    assert devices == {device.partition(":")[0] for device in service["devices"]} == {"/dev/video0", INSTRUMENT}
    bound = {
        f"{volume['source']}:{volume['target']}" + (":ro" if volume.get("read_only") else "")
        for volume in service["volumes"]
        if not isinstance(volume, str)
    }
    assert bound == {
        "/tmp/argus_socket:/tmp/argus_socket",
        "/etc/nv_tegra_release:/etc/nv_tegra_release:ro",
    }
    assert bound < {volume for option, volume in pairs if option == "-v"}
    made = re.findall(r"create_host_path: (\w+)", COMPOSE.read_text())
    assert made == ["false"] * len(bound), "Docker would make a folder where Argus wants its socket"


def test_systemd_reads_the_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here; apt-get install systemd")
    units = tmp_path / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    shutil.copy(SERVICE, units)
    for target in ("sysinit", "basic", "multi-user", "shutdown"):
        (units / f"{target}.target").write_text(f"[Unit]\nDescription={target}\n")
    program = tmp_path / shlex.split(unit("Service")["ExecStart"])[0].lstrip("/")
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", f"--root={tmp_path}", SERVICE.name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, ""), "a warning is one, too"


def test_the_service_may_use_camera_port_and_gpu_and_little_else():
    service = unit("Service")
    program, *arguments = shlex.split(service["ExecStart"])
    assert program == "/opt/edge-wbc/bin/edge-wbc"
    check_run(arguments)
    assert service["User"] not in ("", "root")
    assert set(service["SupplementaryGroups"].split()) == {"dialout", "video"}
    assert service["WorkingDirectory"] == f"/var/lib/{service['StateDirectory']}"
    hiding = {"PrivateDevices", "PrivateTmp", "ProtectClock", "DeviceAllow", "DynamicUser", "MemoryDenyWriteExecute"}
    assert not hiding & service.keys()
    assert service["Restart"] == "on-failure"
    assert set(service["RestartPreventExitStatus"].split()) == {"2", "3"}
    assert service["SuccessExitStatus"] == "130"
    assert (service["NoNewPrivileges"], service["ProtectSystem"]) == ("yes", "strict")


def test_the_guide_installs_what_is_there():
    guide = (ROOT / "docs" / "jetson.md").read_text()
    named = set(re.findall(r"(?:deploy|constraints)/[\w.-]+\w", guide))
    assert named >= {"deploy/compose.yaml", "deploy/edge-wbc.service", "deploy/99-edge-wbc.rules"}
    assert all((ROOT / name).is_file() for name in named)
    assert f"useradd --system --home-dir /var/lib/edge-wbc {unit('Service')['User']}\n" in guide


def test_rules_are_written_as_udev_reads_them():
    """By udev's grammar as its manual has it; where udevadm knows `verify` (systemd 254), by udev itself, too."""
    rules = [line for line in RULES.read_text().splitlines() if line and not line.startswith("#")]
    match = r'(ACTION|SUBSYSTEM|DRIVER|ATTRS?\{\w+\})=="[^"]+"'
    assign = r'(SYMLINK\+|GROUP|MODE|ATTR\{\w+\})="[^"]+"'
    for rule in rules:
        assert re.fullmatch(rf"{match}(, {match})*(, {assign})+", rule), rule
    named = [rule for rule in rules if f'SYMLINK+="{Path(INSTRUMENT).name}"' in rule]
    assert all('SUBSYSTEM=="tty"' in rule and 'GROUP="dialout", MODE="0660"' in rule for rule in named)
    numbers = [
        re.search(r'ATTRS\{idVendor\}=="([0-9a-f]{4})", ATTRS\{idProduct\}=="([0-9a-f]{4}\|?)+"', r) for r in named
    ]
    assert all(numbers), "four hexadecimal digits in lower case, as sysfs has them"
    (latency,) = [rule for rule in rules if rule not in named]
    assert latency.startswith('ACTION=="add", SUBSYSTEM=="usb-serial", DRIVER=="ftdi_sio"')
    assert latency.endswith('ATTR{latency_timer}="1"')
    udevadm = shutil.which("udevadm")
    if udevadm and int(subprocess.check_output([udevadm, "--version"])) >= 254:
        subprocess.run([udevadm, "verify", RULES], check=True)
