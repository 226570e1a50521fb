"""What is deployed."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

from tests.worker.cloud import ROOT

WRANGLER = tomllib.loads((ROOT / "wrangler.toml").read_text())
ENV = (ROOT / "worker" / "src" / "env.ts").read_text()


def test_wrangler_takes_the_configuration_without_a_warning(bundle: Path) -> None:
    run = subprocess.run(
        ["npm", "run", "--silent", "dry-run"],
        cwd=ROOT / "worker",
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "WARNING" not in run.stdout + run.stderr
    assert "VoiceContainer" in run.stdout


def test_a_deploy_waits_for_longer_than_a_call_may_last() -> None:
    found = re.search(r'"CALL_SECONDS", env.CALL_SECONDS, (\d+)\)', ENV)
    assert found
    limit = float(WRANGLER["vars"].get("CALL_SECONDS", found[1]))
    [container] = WRANGLER["containers"]
    assert container["rollout_active_grace_period"] >= limit
    assert WRANGLER["durable_objects"]["code_update_strategy"]["max_delay"] > limit


def test_the_log_holds_no_address_of_a_stream() -> None:
    assert WRANGLER["observability"]["logs"]["invocation_logs"] is False


def test_every_setting_of_the_worker_is_told_in_the_manual() -> None:
    known = re.search(r"WORKERS_OWN.*?\[(.*?)\]", ENV, re.DOTALL)
    assert known
    names = re.findall(r'"([A-Z_]+)"', known[1])
    declared = re.findall(r"^  ([A-Z_]+)\??: string;", ENV, re.MULTILINE)
    assert sorted(names) == sorted(declared)
    manual = (ROOT / "docs" / "deploy.md").read_text()
    assert [name for name in names if name not in manual] == []


def test_what_twilio_and_operators_prove_themselves_with_is_a_required_secret() -> None:
    required = {"TWILIO_AUTH_TOKEN", "STREAM_SECRET", "API_TOKEN"}
    assert required <= set(WRANGLER["secrets"]["required"])
    assert not required & WRANGLER["vars"].keys()


def test_every_event_of_the_objects_own_is_told_in_the_manual_and_no_other() -> None:
    code = (ROOT / "worker" / "src" / "container.ts").read_text()
    noted = set(re.findall(r'this\.add\("([a-z_.]+)"', code))
    page = (ROOT / "docs" / "operations.md").read_text()
    table = page.partition("| event | detail | what it means |")[2].partition("\n\n")[0]
    told = set(re.findall(r"`([a-z_.]+)`", " ".join(re.findall(r"^\|([^|]*)\|", table, re.M))))
    assert told == noted
