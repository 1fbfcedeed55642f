"""The alerts, their run-book and the dashboards: they speak of what there is, and tell what they should."""

import json
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from recharge.delivery.figures import Figures, Queue, Seen
from shared.metrics import _ALL, REGISTRY
from tenants.figures import PlatformFigures
from tests.support.server import ROOT

ALERTS = ROOT / "deploy" / "alerts.yaml"
CASES = ROOT / "tests" / "saas" / "alerts_test.yaml"
DASHBOARDS = sorted((ROOT / "deploy" / "grafana").glob("*.json"))

FOR_ALL = {"instance", "job", "pid"}
"""Labels that Prometheus gives to whatever it reads; and of a gauge of several processes each has its own."""

RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
]


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@cache
def metrics_of_ours() -> dict[str, set[str]]:
    """The names of all series that the product can tell, with their labels."""
    full = Figures(None)
    full._platform = PlatformFigures({"active": 1}, {"clean": 1}, 1.0, 1, {"idle": 1}, 1, 1, 1.0, 1.0, 1, True, 1.0)
    full._seen = {1: Seen("acme", 0.0, dict.fromkeys(("pending", "unknown", "webhooks"), Queue(1, 100.0)))}
    figures = CollectorRegistry()
    figures.register(full)
    told = {sample.name: set(sample.labels) for family in figures.collect() for sample in family.samples}
    for metric in _ALL:
        (family,) = metric.describe()
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [""])
        for suffix in suffixes:
            told[family.name + suffix] = {*metric._labelnames} | ({"le"} if suffix == "_bucket" else set())
    return told


def expressions(dashboard: Path) -> Iterator[tuple[str, str]]:
    """Each query of a dashboard, with the legend of what it gives."""
    for panel in json.loads(dashboard.read_text())["panels"]:
        for target in panel["targets"]:
            yield target.get("legendFormat", ""), target["expr"]


def assert_known(expression: str, legend: str = "") -> None:
    asked = set(re.findall(r"\brecharge_\w+", expression))
    assert asked <= metrics_of_ours().keys(), asked - metrics_of_ours().keys()
    for metric, chosen in re.findall(r"\b(recharge_\w+)\{(.*?)\}", expression):
        labels = set(re.findall(r"(\w+)[!=~]+\"", chosen))
        assert labels <= metrics_of_ours()[metric], (metric, labels)
    if asked:
        grouped = {label for group in re.findall(r"\bby \((.*?)\)", expression) for label in group.split(", ")}
        known = set.union(*(metrics_of_ours()[metric] for metric in asked)) | FOR_ALL
        shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
        assert grouped | shown <= known, (grouped | shown) - known
        assert shown <= grouped or not grouped, "what is shown was added up"


def test_what_is_counted_is_shared_by_all_processes() -> None:
    assert set(_ALL) == set(REGISTRY._collector_to_names)


def test_the_rules_are_good() -> None:
    assert f"{len(RULES)} rules found" in promtool("check", "rules", ALERTS)


def test_each_alert_is_told_when_it_should_be_and_only_then() -> None:
    promtool("test", "rules", CASES)
    cases = [case for test in yaml.safe_load(CASES.read_text())["tests"] for case in test["alert_rule_test"]]
    names = {rule["alert"] for rule in RULES}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == names
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == names


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_speaks_of_what_there_is_and_has_its_paragraph(rule: dict[str, Any]) -> None:
    assert_known(rule["expr"])
    assert rule["labels"]["severity"] in ("page", "ticket")
    file, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert anchor == rule["alert"].lower()
    paragraphs = re.split(r"^### ", (ROOT / file).read_text(), flags=re.MULTILINE)[1:]
    (paragraph,) = [text for text in paragraphs if text.startswith(f"{rule['alert']}\n")]
    assert len(paragraph.split()) > 30


def test_the_run_book_has_no_alert_that_there_is_not() -> None:
    headings = re.findall(r"^### (\w+)$", (ROOT / "deploy" / "RUNBOOK.md").read_text(), flags=re.MULTILINE)
    assert headings == sorted(set(headings), key=headings.index)
    assert set(headings) == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_asks_for_what_there_is(dashboard: Path, tmp_path: Path) -> None:
    asked = list(expressions(dashboard))
    assert len(asked) >= 10
    for legend, expression in asked:
        assert_known(expression, legend)
    as_rules = [
        {"record": f"panel_{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, (_, expression) in enumerate(asked)
    ]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": as_rules}]}))
    promtool("check", "rules", file)


def test_all_that_is_told_is_on_a_dashboard() -> None:
    shown = " ".join(expression for dashboard in DASHBOARDS for _, expression in expressions(dashboard))
    for name in metrics_of_ours():
        family = re.sub(r"_(bucket|count|sum)$", "", name)
        assert family in shown, f"nobody looks at {name}"


def test_the_settings_for_prometheus_are_good(tmp_path: Path) -> None:
    settings = (ROOT / "deploy" / "prometheus.yml").read_text()
    (tmp_path / "prometheus.yml").write_text(settings.replace("/etc/prometheus/recharge-alerts.yaml", str(ALERTS)))
    promtool("check", "config", tmp_path / "prometheus.yml")
