"""Adds the resource types of our template that moto's CloudFormation lacks; importing the module registers them.

Each type uses moto's own backend, so that tests can read the resources like any other. moto finds the direct
subclasses of CloudFormationModel and reads the service name from a part of their module's name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.awslambda.models import LambdaFunction, lambda_backends
from moto.cloudwatch.models import cloudwatch_backends
from moto.core.common_models import CloudFormationModel
from moto.logs.models import logs_backends

Properties = dict[str, Any]
Create = Callable[[str, Properties, str, str], tuple[str, dict[str, str]]]


def _register(kind: str, create: Create) -> type[CloudFormationModel]:
    """Registers a type. `create(name, properties, account, region)` returns the id and attributes of a resource."""

    def __init__(self: Any, resource_id: str, attributes: dict[str, str]) -> None:  # noqa: N807 - of the class below
        self.physical_resource_id, self.attributes = resource_id, attributes

    def create_from(
        cls: Any, /, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
    ) -> Any:
        return cls(*create(resource_name, cloudformation_json["Properties"], account_id, region_name))

    def update_from(
        cls: Any,
        /,
        original_resource: Any,  # noqa: ARG001 - moto names it
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> Any:
        return create_from(cls, new_resource_name, cloudformation_json, account_id, region_name)

    body: dict[str, Any] = {
        "__module__": "moto.parley.models",
        "__init__": __init__,
        "cloudformation_name_type": staticmethod(lambda: ""),
        "cloudformation_type": staticmethod(lambda: kind),
        "has_cfn_attr": classmethod(lambda _cls, _name: True),
        "get_cfn_attribute": lambda self, name: self.attributes[name],
        "is_created": lambda _self: True,
        "create_from_cloudformation_json": classmethod(create_from),
        "update_from_cloudformation_json": classmethod(update_from),
        "delete_from_cloudformation_json": classmethod(lambda *_args, **_named: None),
    }
    return type(kind.replace("::", ""), (CloudFormationModel,), body)


def _url(_name: str, properties: Properties, account: str, region: str) -> tuple[str, dict[str, str]]:
    arn = properties["TargetFunctionArn"]
    config = {"InvokeMode": "BUFFERED", "Cors": None} | properties
    made = lambda_backends[account][region].create_function_url_config(arn, config)
    return arn, {"FunctionUrl": f"{made.url}/", "FunctionArn": arn}


def _retries(_name: str, properties: Properties, account: str, region: str) -> tuple[str, dict[str, str]]:
    config = {name: value for name, value in properties.items() if name not in {"FunctionName", "Qualifier"}}
    lambda_backends[account][region].put_function_event_invoke_config(properties["FunctionName"], config)
    return properties["FunctionName"], {}


def _alarm(name: str, properties: Properties, account: str, region: str) -> tuple[str, dict[str, str]]:
    made = cloudwatch_backends[account][region].put_metric_alarm(
        name=name,
        namespace=properties["Namespace"],
        metric_name=properties["MetricName"],
        comparison_operator=properties["ComparisonOperator"],
        evaluation_periods=int(properties["EvaluationPeriods"]),
        period=int(properties["Period"]),
        threshold=float(properties["Threshold"]),
        statistic=properties["Statistic"],
        description=properties["AlarmDescription"],
        dimensions=properties.get("Dimensions", []),
        alarm_actions=properties["AlarmActions"],
        treat_missing_data=properties["TreatMissingData"],
    )
    return name, {"Arn": made.alarm_arn}


def _metric(name: str, properties: Properties, account: str, region: str) -> tuple[str, dict[str, str]]:
    changes: Any = [
        {"metricNamespace": each["MetricNamespace"], "metricName": each["MetricName"], "metricValue": "1"}
        for each in properties["MetricTransformations"]
    ]
    group, pattern = properties["LogGroupName"], properties["FilterPattern"]
    logs_backends[account][region].put_metric_filter(name, pattern, group, changes)
    return name, {}


def _policy(_name: str, properties: Properties, _account: str, _region: str) -> tuple[str, dict[str, str]]:
    """Records the policy only: moto ignores the condition of a Deny and would reject every request."""
    return properties["Bucket"], {}


KINDS = [
    _register("AWS::Lambda::Url", _url),
    _register("AWS::Lambda::EventInvokeConfig", _retries),
    _register("AWS::CloudWatch::Alarm", _alarm),
    _register("AWS::Logs::MetricFilter", _metric),
    _register("AWS::S3::BucketPolicy", _policy),
]

# The layer belongs to another account. moto looks it up in this one on updates, not on creation.
LambdaFunction._get_layers_data = lambda *_: []  # type: ignore[method-assign]  # noqa: SLF001
