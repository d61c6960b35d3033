"""The template that osls makes of serverless.yml: valid, without secrets, with minimal rights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import ManualArgs, lint

from deploy.build import functions
from tests.deploy.conftest import ARCH, osls

Template = dict[str, dict[str, Any]]
_LAYERS = {"arm64": "LambdaAdapterLayerArm64", "x86_64": "LambdaAdapterLayerX86"}


@pytest.fixture(scope="module")
def template(packaged: Path) -> Template:
    """The resources by logical id."""
    text = (packaged / "cloudformation-template-update-stack.json").read_text()
    resources: Template = json.loads(text)["Resources"]
    return resources


def _of(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    return {name: each["Properties"] for name, each in template.items() if each["Type"] == f"AWS::{kind}"}


def _functions(template: Template) -> dict[str, dict[str, Any]]:
    return {each["FunctionName"].rsplit("-", 1)[1]: each for each in _of(template, "Lambda::Function").values()}


@pytest.mark.parametrize("step", ["create", "update"])
def test_the_template_is_clean(packaged: Path, step: str) -> None:
    """cfn-lint reports nothing, also with the schemas of the region."""
    text = (packaged / f"cloudformation-template-{step}-stack.json").read_text()
    assert [str(match) for match in lint(text, config=ManualArgs(regions=["us-east-1"]))] == []


def test_every_function_runs_behind_the_adapter(template: Template) -> None:
    """Each has its target, the adapter's layer of its architecture and a readiness path without side effects."""
    found = _functions(template)
    assert set(found) == set(functions())
    for name, function in found.items():
        environ = function["Environment"]["Variables"]
        assert (environ["FUNCTION_TARGET"], function["Handler"]) == (name, "run.sh")
        assert environ["AWS_LAMBDA_EXEC_WRAPPER"] == "/opt/bootstrap"
        assert environ["AWS_LWA_READINESS_CHECK_PATH"] == "/health"
        assert function["Architectures"] == [ARCH]
        (layer,) = function["Layers"]
        assert layer.split(":")[-2:] == [_LAYERS[ARCH], "30"]


def test_chat_may_have_a_path_of_its_own_secrets(service: Path) -> None:
    """It then reads that path only, so that the service key of the other functions is out of its reach."""
    shown = osls(service, "print", "--format", "json", "--param", "chatSecretsPath=/parley/test/chat")
    found = json.loads(shown[shown.index("{") :])
    assert found["functions"]["chat"]["environment"]["SECRETS_SOURCE"] == "ssm:/parley/test/chat/"
    assert found["provider"]["environment"]["SECRETS_SOURCE"] == "ssm:/parley/test/"
    roles = {name: json.dumps(found["resources"]["Resources"][name]) for name in ("ChatRole", "LlmsRole")}
    assert {name: "parameter/parley/test/chat" in text for name, text in roles.items()} == {
        "ChatRole": True,
        "LlmsRole": False,
    }
    assert 'parameter/parley/test"' not in roles["ChatRole"].replace("\\", "")


def test_the_template_holds_no_secret(packaged: Path, template: Template) -> None:
    """The template has only the path of the secrets; CloudFormation resolves none of them."""
    for function in _functions(template).values():
        environ = function["Environment"]["Variables"]
        assert environ["SECRETS_SOURCE"] == "ssm:/parley/test/"
        assert [name for name in environ if name.endswith(("_KEY", "_TOKEN", "_SECRET", "_PEPPER"))] == []
    texts = [path.read_text() for path in packaged.glob("*.json")]
    assert texts
    assert not any("{{resolve:" in text for text in texts)


def test_chat_and_assist_stream(template: Template) -> None:
    """URL and adapter have the same mode: streaming for chat and assist, buffered for the others."""
    modes = {
        name: function["Environment"]["Variables"].get("AWS_LWA_INVOKE_MODE")
        for name, function in _functions(template).items()
    }
    assert modes == {"chat": "response_stream", "llms": None, "refresh": None, "assist": "response_stream"}
    urls = {name: url.get("InvokeMode") for name, url in _of(template, "Lambda::Url").items()}
    assert urls.pop("ChatLambdaFunctionUrl") == urls.pop("AssistLambdaFunctionUrl") == "RESPONSE_STREAM"
    assert set(urls.values()) <= {None, "BUFFERED"}


def test_the_platform_adds_no_cors_headers(template: Template) -> None:
    """A browser rejects a duplicate CORS header."""
    urls = _of(template, "Lambda::Url").values()
    assert len(urls) == len(functions())
    assert [url for url in urls if url.get("Cors")] == []


def test_only_refresh_takes_events_and_fails_with_them(template: Template) -> None:
    """Lambda retries a failed run twice, then keeps its event in the queue, and an alarm fires."""
    targets = [target for rule in _of(template, "Events::Rule").values() for target in rule["Targets"]]
    assert [target["Arn"]["Fn::GetAtt"][0] for target in targets] == ["RefreshLambdaFunction"]
    for name, function in _functions(template).items():
        environ = function["Environment"]["Variables"]
        handed_on = (environ.get("AWS_LWA_PASS_THROUGH_PATH"), environ.get("AWS_LWA_ERROR_STATUS_CODES"))
        assert handed_on == (("/_events", "599") if name == "refresh" else (None, None))
        assert ("DeadLetterConfig" in function) == (name == "refresh")
    (retries,) = _of(template, "Lambda::EventInvokeConfig").values()
    assert (retries["MaximumRetryAttempts"], retries["MaximumEventAgeInSeconds"]) == (2, 3600)
    alarm = template["RefreshFailedAlarm"]["Properties"]
    assert alarm["Dimensions"][0]["Value"] == {"Fn::GetAtt": ["RefreshFailures", "QueueName"]}


def test_a_missing_or_always_failing_refresh_raises_an_alarm(template: Template) -> None:
    """A day without a run, or without a successful one, is an alarm; missing data too. Dry runs do not count."""
    for name, alarmed, pattern in (
        ("RefreshRuns", "RefreshMissedAlarm", '{ ($.event = "refresh") && ($.is_dry_run IS FALSE) }'),
        (
            "RefreshSuccesses",
            "RefreshUnwellAlarm",
            '{ ($.event = "refresh") && ($.is_dry_run IS FALSE) && ($.status = "succeeded") }',
        ),
    ):
        counted, alarm = template[name]["Properties"], template[alarmed]["Properties"]
        assert (counted["LogGroupName"], counted["FilterPattern"]) == ({"Ref": "RefreshLogGroup"}, pattern)
        (metric,) = counted["MetricTransformations"]
        assert (metric["MetricNamespace"], metric["MetricName"]) == (alarm["Namespace"], alarm["MetricName"])
        assert (alarm["Period"] * alarm["EvaluationPeriods"], alarm["Statistic"]) == (24 * 60 * 60, "Sum")
        judged = (alarm["ComparisonOperator"], alarm["Threshold"], alarm["TreatMissingData"])
        assert judged == ("LessThanThreshold", 1, "breaching")


def test_each_role_has_minimal_rights(template: Template) -> None:
    """No wildcard actions or resources; chat cannot read the spool, and llms has no access to it."""
    allowed = {}
    for name, role in _of(template, "IAM::Role").items():
        statements = [each for policy in role["Policies"] for each in policy["PolicyDocument"]["Statement"]]
        actions = [action for each in statements for action in _listed(each["Action"])]
        assert not any("*" in action for action in actions)
        assert "*" not in [resource for each in statements for resource in _listed(each["Resource"])]
        allowed[name] = set(actions)
    common = {"ssm:GetParametersByPath", "logs:CreateLogStream", "logs:PutLogEvents"}
    assert allowed == {
        "ChatRole": common | {"s3:PutObject"},
        "LlmsRole": common,
        "AssistRole": common | {"s3:PutObject"},
        "RefreshRole": common | {"s3:ListBucket", "s3:GetObject", "s3:DeleteObject", "s3:PutObject", "sqs:SendMessage"},
    }
    (put,) = (
        each["Resource"]
        for each in _of(template, "IAM::Role")["RefreshRole"]["Policies"][0]["PolicyDocument"]["Statement"]
        if each["Action"] == "s3:PutObject"
    )
    assert put == {"Fn::Sub": "${SpoolBucket.Arn}/spool/quarantine/*"}  # quarantined objects
    used = {name: function["Role"] for name, function in _functions(template).items()}
    assert used == {name: {"Fn::Sub": f"${{{name.title()}Role.Arn}}"} for name in functions()}


def test_the_spool_is_private_encrypted_and_expires(template: Template) -> None:
    """No public access, TLS and encryption at rest; objects older than a month are deleted."""
    bucket = template["SpoolBucket"]
    assert bucket["DeletionPolicy"] == "Retain"
    assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["Properties"]["BucketEncryption"]
    rules = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
    assert [(rule["Prefix"], rule["ExpirationInDays"]) for rule in rules if "Prefix" in rule] == [
        ("spool/", 30),
        ("exports/", 365),
    ]
    (statement,) = template["SpoolBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_logs_expire_and_alarms_have_a_topic(template: Template) -> None:
    """Every log group has a retention time; every alarm goes to the topic."""
    logging = {json.dumps(each["LoggingConfig"], sort_keys=True) for each in _functions(template).values()}
    assert {json.loads(each)["SystemLogLevel"] for each in logging} == {"WARN"}
    groups = _of(template, "Logs::LogGroup")
    assert {group["RetentionInDays"] for group in groups.values()} == {14}
    assert len(groups) == len(functions())
    assert [a["AlarmActions"] for a in _of(template, "CloudWatch::Alarm").values()] == [[{"Ref": "Alarms"}]] * 5
    assert template["AlarmsByMail"]["Properties"]["Protocol"] == "email"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
