"""The measured figures of the incident workflow (`POINTSMAN_DATA`), with floors at what is reached."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals import alert_dispatch, incident_causes, incident_groups, incident_remedies
from evals.itbench import scenarios
from evals.nezha import DAY, recording, recordings


def test_the_triage_names_the_injected_pod_more_often_than_a_plain_deviation(data: Path) -> None:
    told = incident_causes.summary(recording(data / "incidents" / "nezha"))
    ours, plain = told["triage"], told["plain"]
    assert (ours["faults"], plain["faults"]) == (24, 24)
    assert ours["as1"] >= 19 and ours["as1"] >= plain["as1"] + 6
    assert ours["as1"] >= told["plain_best"]["as1"] + 5
    assert ours["as3"] >= 19 and ours["as3"] > plain["as3"]
    assert told["clear"]["said"] >= 18 and told["clear"]["right"] == told["clear"]["said"]
    assert told["by_kind"]["network_delay"]["triage"]["as1"] >= 6
    assert told["quiet_afternoon"]["windows"] >= 140
    assert told["quiet_afternoon"]["named"] == told["quiet_afternoon"]["clear"] == 0
    assert all(row["as1"] >= 19 for row in told["thresholds"].values())
    assert told["end_to_end"]["faults_seen"] >= 18 and told["end_to_end"]["named_right"] >= 18


def test_it_is_sure_of_nothing_wrong_on_recordings_that_it_was_not_written_with(data: Path) -> None:
    more = [day for day in recordings(data / "incidents" / "nezha") if day.name != DAY]
    if not more:
        pytest.skip("NOT MEASURED: there is one recording only; see docs/incident.md for the others")
    for day in more:
        told = incident_causes.summary(day)
        assert told["clear"]["right"] == told["clear"]["said"] and told["quiet_afternoon"]["clear"] == 0, day.name
        assert told["triage"]["as1"] >= told["plain"]["as1"] + (10 if day.topology.calls else 0), day.name


@pytest.mark.anyio
async def test_no_remedy_without_approval_whatever_alerts_and_models_say(data: Path, home: Path, url: str) -> None:
    folder = data / "incidents"
    given = [*incident_remedies.faults(recording(folder / "nezha"))][::8] + [*incident_remedies.unmeasured(folder / "itbench")][::8]
    told = await incident_remedies.measure(home, given, url)
    assert told["deliveries"] == told["ended"] == 7
    assert told["undecided"] == told["after_no"] == told["unapproved"] == 0
    assert told["applied"] == told["approved"] >= 3 and told["remedies_asked"] >= 6 and told["attempts_denied"] >= 4


def test_the_recording_is_read_with_its_traps(data: Path) -> None:
    day = recording(data / "incidents" / "nezha")
    assert day.telemetry.minutes == 1209
    assert len(day.topology.pods) == 10
    assert all(end.isalpha() for call in day.topology.calls for end in call)
    assert len([1 for series in day.telemetry.series if series.metric == "caller_latency"]) == 14
    assert any(value is None for series in day.telemetry.series for value in series.values)


def test_alerts_are_put_together_and_traced_back(data: Path) -> None:
    told = incident_groups.summary(scenarios(data / "incidents" / "itbench"))
    assert (told["scenarios"], told["grouping"]["alerts"]) == (32, 227)
    assert told["grouping"]["in_largest_group"] >= 225 and told["grouping"]["foreign"] == 0
    assert told["grouping"]["scenarios_whole"] >= 30
    assert told["roots"]["first"] >= 21 and told["roots"]["first"] >= told["roots"]["most_alerts_first"] + 6
    assert told["roots"]["first_three"] >= 23


def test_every_rule_of_the_catalogue_has_a_queue_and_a_time(data: Path) -> None:
    told = alert_dispatch.summary(data / "alerts" / "rules.yml.gz")
    assert told["rules"] == told["with_queue"] == told["with_severity_rule"] == 1155
    assert told["split"] == 0
    assert "person" not in told["queues"]


@pytest.mark.parametrize("module", [alert_dispatch, incident_causes, incident_groups])
def test_a_command_says_that_the_data_is_missing(
    module: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POINTSMAN_DATA", str(tmp_path))
    assert module.main([]) == 1  # type: ignore[attr-defined]
    assert "POINTSMAN_DATA" in capsys.readouterr().err


@pytest.mark.parametrize("module", [alert_dispatch, incident_groups])
def test_a_command_prints_what_it_measured(data: Path, module: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert module.main([]) == 0  # type: ignore[attr-defined]
    assert module.main(["--json"]) == 0  # type: ignore[attr-defined]
    assert capsys.readouterr().out
