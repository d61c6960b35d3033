"""Reads a deployment from an account and starts instances of it."""

from __future__ import annotations

import ast
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from deploy.build import functions
from tests.deploy.adapter import Instance, unpack
from tests.fakes.aws import Account


class Deployment:
    """The stack named `name` of CloudFormation in `account`."""

    def __init__(self, account: Account, name: str, python: Path, folder: Path) -> None:
        self.account, self.name = account, name
        self._python, self._folder = python, folder
        self._instances: list[Instance] = []

    def resource(self, logical_id: str) -> str:
        """The physical name of a resource of the template."""
        listed = self.account.client("cloudformation").describe_stack_resources(StackName=self.name)
        (found,) = [each for each in listed["StackResources"] if each.get("LogicalResourceId") == logical_id]
        return str(found["PhysicalResourceId"])

    def configuration(self, function: str) -> dict[str, Any]:
        """The configuration of a function in the account."""
        found: dict[str, Any] = self.account.client("lambda").get_function(FunctionName=f"{self.name}-{function}")
        return dict(found["Configuration"])

    def role(self, function: str) -> dict[str, str]:
        """Environment variables with the credentials of the function's role."""
        return self.account.as_role(self.configuration(function)["Role"])

    def adapt_policies_to_moto(self) -> None:
        """Rewrites the policies so that moto's S3 can evaluate them.

        moto stores a policy from CloudFormation as the text of a Python dict. It denies every statement with a
        condition (TLS, the listed prefix). It checks a deletion of several objects against the bucket, AWS against
        each object.
        """
        iam, bucket = self.account.client("iam"), self.resource("SpoolBucket")
        self.account.client("s3").delete_bucket_policy(Bucket=bucket)
        for function in functions():
            named = {"RoleName": self.resource(f"{function.title()}Role"), "PolicyName": function}
            policy = iam.get_role_policy(**named)["PolicyDocument"]
            policy = ast.literal_eval(policy) if isinstance(policy, str) else policy
            for statement in policy["Statement"]:
                statement.pop("Condition", None)
                if "s3:DeleteObject" in statement["Action"]:
                    statement["Resource"] = [statement["Resource"], f"arn:aws:s3:::{bucket}"]
            iam.put_role_policy(**named, PolicyDocument=json.dumps(policy))

    def code(self, function: str) -> bytes:
        """The uploaded zip of a function."""
        store, bucket = self.account.client("s3"), self.resource("ServerlessDeploymentBucket")
        keys = [each["Key"] for each in store.list_objects_v2(Bucket=bucket)["Contents"]]
        (key,) = [each for each in keys if each.endswith(f"/{function}.zip")]
        return bytes(store.get_object(Bucket=bucket, Key=key)["Body"].read())

    def names(self, function: str) -> set[str]:
        """The names of the files in that zip."""
        with zipfile.ZipFile(io.BytesIO(self.code(function))) as archive:
            return set(archive.namelist())

    def spooled(self) -> list[str]:
        """The keys in the bucket of the spool."""
        listed = self.account.client("s3").list_objects_v2(Bucket=self.resource("SpoolBucket"))
        return [each["Key"] for each in listed.get("Contents", [])]

    def start(self, function: str, **changes: str) -> Instance:
        """A new, frozen instance; `changes` are extra variables of this instance."""
        root = self._folder / function
        if not root.exists():
            unpack(io.BytesIO(self.code(function)), root)
        configured = self.configuration(function)["Environment"]["Variables"]
        environ = configured | self.account.environ | self.role(function) | changes
        environ["AWS_LAMBDA_FUNCTION_NAME"] = f"{self.name}-{function}"
        console = self._folder / f"{function}.{len(self._instances)}.log"
        with console.open("wb") as output:
            instance = Instance(root, environ, self._python, output)
        self._instances.append(instance)
        instance.until_ready()
        return instance

    def logged(self, function: str, event: str) -> list[dict[str, Any]]:
        """The log lines of this event from all instances of a function."""
        written = [path.read_text().splitlines() for path in self._folder.glob(f"{function}.*.log")]
        lines = [json.loads(line) for each in written for line in each if line.startswith("{")]
        return [line for line in lines if line.get("event") == event]

    def end(self) -> None:
        """Ends every instance."""
        for instance in self._instances:
            instance.end()
