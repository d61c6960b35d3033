"""`osls deploy` into an account, checked by reading the account."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from deploy.build import functions
from tests.deploy.conftest import ARCH, osls
from tests.deploy.deployment import Deployment
from tests.fakes.aws import Account


@pytest.mark.parametrize("name", functions())
def test_the_account_has_the_built_code(deployed: Deployment, units: Path, name: str) -> None:
    """The uploaded zip equals the built one; variables are resolved and the log group is named."""
    built = (units / f"{name}.zip").read_bytes()
    assert deployed.code(name) == built
    there = deployed.configuration(name)
    assert there["CodeSha256"] == base64.b64encode(hashlib.sha256(built).digest()).decode()
    environ = there["Environment"]["Variables"]
    assert (environ["FUNCTION_TARGET"], environ["CORS_ORIGINS"]) == (name, "https://app.example")
    spool = f"s3://{deployed.resource('SpoolBucket')}/spool"
    assert environ.get("SPOOL_URL") == (None if name == "llms" else spool)


@pytest.mark.parametrize("name", functions())
def test_every_function_has_a_public_url(deployed: Deployment, name: str) -> None:
    """The platform checks no sign-in, as functions check tokens themselves; only the URLs of chat and assist stream."""
    url = deployed.account.client("lambda").get_function_url_config(FunctionName=f"{deployed.name}-{name}")
    assert url["AuthType"] == "NONE"
    assert (url["InvokeMode"] == "RESPONSE_STREAM") == (name in {"chat", "assist"})


def test_the_schedule_starts_refresh(deployed: Deployment) -> None:
    """One enabled rule sends refresh its input."""
    events = deployed.account.client("events")
    (rule,) = [each for each in events.list_rules()["Rules"] if each["Name"].startswith(deployed.name)]
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(6 hours)", "ENABLED")
    (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert target["Arn"].endswith(f":{deployed.name}-refresh")
    assert json.loads(target["Input"]) == {"source": "schedule", "job": "refresh"}


def test_the_queue_and_alarms_exist(deployed: Deployment) -> None:
    """The account has the queue, five alarms, and the log filters that count unbooked turns and refreshes."""
    account = deployed.account
    assert account.client("sqs").get_queue_attributes(
        QueueUrl=deployed.resource("RefreshFailures"), AttributeNames=["MessageRetentionPeriod"]
    )["Attributes"] == {"MessageRetentionPeriod": "1209600"}
    alarms = account.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{deployed.name}-")
    assert len(alarms["MetricAlarms"]) == 5
    for function, names in (
        ("chat", {"UnbookedTurns"}),
        ("assist", {"UnbookedTurns"}),
        ("refresh", {"RefreshRuns", "RefreshSuccesses"}),
    ):
        group = f"/aws/lambda/{deployed.name}-{function}"
        filters = account.client("logs").describe_metric_filters(logGroupName=group)["metricFilters"]
        assert {each["metricTransformations"][0]["metricName"] for each in filters} == names
    retries = account.client("lambda").get_function_event_invoke_config(FunctionName=f"{deployed.name}-refresh")
    assert retries["MaximumRetryAttempts"] == 2


def test_a_second_deployment_changes_what_changed_and_removal_leaves_the_spool(
    service: Path, account: Account, bare_python: Path, tmp_path: Path
) -> None:
    """A second deployment updates llms and the origins only; the removal keeps the bucket."""
    own, environ = tmp_path / "service", account.environ | {"SLS_AWS_MONITORING_FREQUENCY": "200"}
    shutil.copytree(service, own, ignore=shutil.ignore_patterns(*functions(), "packaged", ".serverless"))
    again = Deployment(account, "parley-again", bare_python, tmp_path / "instances")
    osls(own, "deploy", "--param", "corsOrigins=https://one.example", stage="again", environ=environ)
    before = {name: again.configuration(name) for name in functions()}
    spool = again.resource("SpoolBucket")
    account.client("s3").put_object(Bucket=spool, Key="spool/turn.json", Body=b"{}")

    with zipfile.ZipFile(own / "build" / "lambda" / ARCH / "llms.zip", "a") as unit:
        unit.writestr("changed", "")
    osls(own, "deploy", "--param", "corsOrigins=https://two.example", stage="again", environ=environ)
    (stack,) = account.client("cloudformation").describe_stacks(StackName=again.name)["Stacks"]
    assert stack["StackStatus"] == "UPDATE_COMPLETE"
    after = {name: again.configuration(name) for name in functions()}
    assert {name for name in after if after[name]["CodeSha256"] != before[name]["CodeSha256"]} == {"llms"}
    assert {each["Environment"]["Variables"]["CORS_ORIGINS"] for each in after.values()} == {"https://two.example"}
    assert again.spooled() == ["spool/turn.json"]
    assert len([each for each in account.client("events").list_rules()["Rules"] if again.name in each["Name"]]) == 1

    osls(own, "remove", stage="again", environ=environ)
    buckets = {each["Name"] for each in account.client("s3").list_buckets()["Buckets"] if again.name in each["Name"]}
    assert buckets == {spool}
    with pytest.raises(ClientError, match="not found"):
        again.configuration("llms")
