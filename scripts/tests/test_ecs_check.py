"""Tests of scripts/ecs-check: each fault in a template, a parameter file or a script that it is there for is found.

Works on the real files with one thing changed. Nothing here is run against AWS or an imitation of it.
"""

import copy
import importlib
import json
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from loading import SCRIPTS

sys.path.insert(0, str(SCRIPTS))
aws, dry, iam, parameters, proxy, templates, wiring = (
    importlib.import_module(f"ecs_checks.{name}")
    for name in ("aws", "dry", "iam", "parameters", "proxy", "templates", "wiring")
)

HELPER = templates.ROOT / "deploy" / "ecs" / "scripts" / "helper.py"
LOADED = templates.load()
FILES = parameters.files()
USED = iam.used()


def definition(prefix):
    """What `migrate --print` says of each table."""
    return [
        {
            "TableName": f"{prefix}{role}",
            "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            "BillingMode": "PAY_PER_REQUEST",
            "TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": True},
        }
        for role in wiring.ROLES
    ]


def found(change=None, environment="production", **given):
    """Findings of the wiring after `change` of the templates."""
    changed = copy.deepcopy(LOADED)
    if change:
        change(changed)
    deployment = templates.Deployment(changed, parameters.filled({**FILES[environment], **given}))
    wanted = definition(FILES[environment]["TablePrefix"])
    checks = (wiring.findings(deployment), wiring.tables(deployment, wanted), iam.findings(deployment, USED))
    return "\n".join(finding for check in checks for finding in check)


def properties(loaded, file, name):
    return loaded[f"{file}.yaml"]["Resources"][name]["Properties"]


def set_property(file, name, key, value):
    return lambda loaded: properties(loaded, file, name).__setitem__(key, value)


def set_variable(name, value):
    def change(loaded):
        variables = container(loaded)["Environment"]
        variables[:] = [entry for entry in variables if entry["Name"] != name]
        if value is not None:
            variables.append({"Name": name, "Value": value})

    return change


def container(loaded):
    return properties(loaded, "service", "TaskDefinition")["ContainerDefinitions"][0]


def statement(loaded, sid):
    for role in ("TaskRole", "ExecutionRole"):
        for policy in properties(loaded, "iam", role)["Policies"]:
            policy = policy["Fn::If"][1] if "Fn::If" in policy else policy
            for entry in policy["PolicyDocument"]["Statement"]:
                if entry["Sid"] == sid:
                    return entry
    raise KeyError(sid)


class Wiring(unittest.TestCase):
    def test_every_environment_is_good_as_it_is(self):
        for environment in FILES:
            self.assertEqual(found(environment=environment), "")

    def assertFinds(self, text, change=None, **given):
        self.assertIn(text, found(change, **given))

    def test_ports(self):
        self.assertFinds("listens on 0.0.0.0:8081", set_variable("COST_KEEPER_SERVER__LISTEN", "0.0.0.0:8081"))
        self.assertFinds("port 80 is not", set_property("load-balancer", "TargetGroup", "Port", 80))
        self.assertFinds("does not reach port 8080", set_property("network", "TaskIngress", "FromPort", 8081))
        self.assertFinds("others than a security group", lambda loaded: properties(loaded, "network", "TaskIngress").update(
            CidrIp=properties(loaded, "network", "TaskIngress").pop("SourceSecurityGroupId") and "10.0.0.0/8"))
        self.assertFinds("metrics: the task listens", set_variable("COST_KEEPER_METRICS__LISTEN", "0.0.0.0:9464"))

    def test_descriptions(self):
        self.assertFinds("EC2 does not take the description \"the API's port\"", set_property(
            "network", "LoadBalancerSecurityGroup", "GroupDescription", "the API's port"))
        self.assertFinds("EC2 does not take", lambda loaded: properties(loaded, "network", "TaskIngress").update(Description="a > b"))
        self.assertFinds("EC2 does not take", lambda loaded: properties(loaded, "network", "LoadBalancerSecurityGroup")[
            "SecurityGroupIngress"][0].update(Description="x" * 256))

    def test_load_balancer(self):
        self.assertFinds("only HTTPS", set_property("load-balancer", "Listener", "Protocol", "HTTP"))
        self.assertFinds("allows old versions", set_property("load-balancer", "Listener", "SslPolicy", "ELBSecurityPolicy-2016-08"))
        self.assertFinds("and not at /readyz", set_property("load-balancer", "TargetGroup", "HealthCheckPath", "/livez"))
        self.assertFinds("trusted_proxies is not set", set_variable("COST_KEEPER_SERVER__TRUSTED_PROXIES", None))
        self.assertFinds("is no network of subnets", set_variable("COST_KEEPER_SERVER__TRUSTED_PROXIES", "0.0.0.0/0"))
        self.assertFinds("idle for 20 s", set_variable("COST_KEEPER_SERVER__READ_TIMEOUT_SECS", "10"))

    def test_stopping(self):
        self.assertFinds("stopTimeout is 29 s", lambda loaded: container(loaded).update(StopTimeout=29))
        self.assertFinds("draining takes 60 + 25", set_variable("COST_KEEPER_SERVER__DRAIN_DELAY_SECS", "60"))
        no_delay = [{"Key": "deregistration_delay.timeout_seconds", "Value": "5"}]
        self.assertFinds("deregistration delay 5 s", set_property("load-balancer", "TargetGroup", "TargetGroupAttributes", no_delay))

    def test_service(self):
        careless = {"MinimumHealthyPercent": 100, "DeploymentCircuitBreaker": {"Enable": True, "Rollback": False}}
        self.assertFinds("circuit breaker", set_property("service", "Service", "DeploymentConfiguration", careless))
        self.assertFinds("public addresses", lambda loaded: properties(loaded, "service", "Service")["NetworkConfiguration"][
            "AwsvpcConfiguration"].update(AssignPublicIp="ENABLED"))
        self.assertFinds("subnets of the load balancer", TaskSubnetIds=parameters.filled(FILES["production"])["LoadBalancerSubnetIds"],
                         LoadBalancerSubnetIds=parameters.filled(FILES["production"])["LoadBalancerSubnetIds"])
        self.assertFinds("route to the internet", environment="dev", change=set_property(
            "vpc", "TaskSubnet1Routes", "RouteTableId", {"Ref": "LoadBalancerRouteTable"}))
        self.assertFinds("can be written", lambda loaded: container(loaded).update(ReadonlyRootFilesystem=False))
        self.assertFinds("is a secret in the environment", set_variable("COST_KEEPER_AUTH__JWT_SECRET", "x" * 32))
        self.assertFinds("more than the task's", set_variable("COST_KEEPER_SERVER__MAX_CONNECTIONS", "8192"))
        self.assertFinds("5 tasks at least and 4 at most", MinTasks="5", MaxTasks="4")

    def test_logs(self):
        self.assertFinds("kept for ever", lambda loaded: properties(loaded, "logs", "LogGroup").pop("RetentionInDays"))
        self.assertFinds("DeletionPolicy is not RetainExceptOnCreate", lambda loaded: loaded["logs.yaml"]["Resources"]["LogGroup"].pop("DeletionPolicy"))
        self.assertFinds("no log group of this deployment", lambda loaded: container(loaded)["LogConfiguration"]["Options"].update(
            {"awslogs-group": "/other"}))

    def test_tables(self):
        table = lambda loaded: properties(loaded, "tables", "UsageTable")  # noqa: E731
        self.assertFinds("TimeToLiveSpecification is", lambda loaded: table(loaded)["TimeToLiveSpecification"].update(AttributeName="ttl"))
        self.assertFinds("KeySchema is", lambda loaded: table(loaded)["KeySchema"].pop())
        self.assertFinds("GlobalSecondaryIndexes", lambda loaded: table(loaded).update(GlobalSecondaryIndexes=[]))
        self.assertFinds("tables are", lambda loaded: table(loaded).update(TableName="other"))
        self.assertFinds("DeletionPolicy is not RetainExceptOnCreate", lambda loaded: loaded["tables.yaml"]["Resources"]["UsageTable"].pop("DeletionPolicy"))
        self.assertFinds("no point-in-time recovery", lambda loaded: table(loaded).pop("PointInTimeRecoverySpecification"))
        self.assertFinds("no deletion protection", DeletionProtection="false")
        self.assertFinds("and the tables start with", set_variable("COST_KEEPER_STORAGE__URL", "dynamodb://?region=r&table_prefix=other-"))

    def test_rights(self):
        def change(sid, **values):
            return lambda loaded: statement(loaded, sid).update(values)

        self.assertFinds("dynamodb:Scan, which nobody uses", lambda loaded: statement(loaded, "Usage")["Action"].append("dynamodb:Scan"))
        self.assertFinds("lacks dynamodb:BatchWriteItem", lambda loaded: statement(loaded, "Config")["Action"].remove("dynamodb:BatchWriteItem"))
        self.assertFinds("dynamodb:DescribeTable, dynamodb:DescribeTimeToLive on *", change("LookAtTables", Resource="*"))
        self.assertFinds("neither of the two", change("ReadKeys", Resource=["arn:aws:secretsmanager:eu-central-1:123456789012:secret:*"]))
        self.assertFinds("lacks secretsmanager:GetSecretValue", change("ReadKeys", Effect="Deny"))
        self.assertFinds("logs:CreateLogStream, logs:PutLogEvents on *", change("Log", Resource="*"))
        everybody = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}]}
        self.assertFinds("can be assumed by *", set_property("iam", "TaskRole", "AssumeRolePolicyDocument", everybody))
        managed = ["arn:aws:iam::aws:policy/AmazonDynamoDBFullAccess"]
        self.assertFinds("managed policy", set_property("iam", "TaskRole", "ManagedPolicyArns", managed))

    def test_rights_are_read_from_the_sources(self):
        with tempfile.TemporaryDirectory() as directory:
            sources = Path(directory)
            (sources / "aws").mkdir()
            (sources / "aws" / "a.rs").write_text("client.get_secret_value().send()\n#[cfg(test)]\nclient.scan()", encoding="utf-8")
            (sources / "storage" / "dynamodb").mkdir(parents=True)
            (sources / "storage" / "dynamodb" / "b.rs").write_text("ConditionCheck::builder()", encoding="utf-8")
            self.assertEqual(iam.used(sources), {"secretsmanager:GetSecretValue", "dynamodb:ConditionCheckItem"})


class Parameters(unittest.TestCase):
    def said(self, change=None, **given):
        changed, files = copy.deepcopy(LOADED), copy.deepcopy(FILES)
        if change:
            change(changed)
        files["production"].update(given)
        return "\n".join(parameters.findings(changed, files))

    def test_they_are_good_as_they_are(self):
        self.assertEqual(self.said(), "")

    def test_names_and_values(self):
        self.assertIn("Frobnicate is no parameter", self.said(Frobnicate="1"))
        self.assertIn("TaskSize is 'huge'", self.said(TaskSize="huge"))
        self.assertIn("MaxTasks is '1000', outside its bounds", self.said(MaxTasks="1000"))
        self.assertIn("CertificateArn is 'x'", self.said(CertificateArn="x"))
        self.assertIn("ImageUri is passed by `deploy`", self.said(ImageUri="a:1"))
        self.assertIn("Environment is dev", self.said(Environment="dev"))

    def test_rules(self):
        self.assertIn("rule Production", self.said(MinTasks="1"))
        self.assertIn("rule AVpcThereIs", self.said(VpcId=""))

    def test_environments_are_apart(self):
        self.assertIn("share tables", self.said(TablePrefix="cost-keeper-dev-"))
        self.assertIn("reaches the tables of", self.said(TablePrefix="cost-keeper-"))

    def test_nesting(self):
        def nested(loaded):
            return properties(loaded, "main", "Service")

        self.assertIn("passes Frobnicate", self.said(lambda loaded: nested(loaded)["Parameters"].update(Frobnicate="1")))
        self.assertIn("does not pass ImageUri", self.said(lambda loaded: nested(loaded)["Parameters"].pop("ImageUri")))
        self.assertIn("has no output ClusterName", self.said(lambda loaded: loaded["service.yaml"]["Outputs"].pop("ClusterName")))
        self.assertIn("TaskRoleArn is an output of another stack and has AllowedPattern", self.said(
            lambda loaded: loaded["service.yaml"]["Parameters"]["TaskRoleArn"].update(AllowedPattern="arn:.+")))
        self.assertIn("there is no such file", self.said(lambda loaded: nested(loaded).update(TemplateURL="other.yaml")))
        self.assertIn("other.yaml is nested nowhere", self.said(lambda loaded: loaded.update({"other.yaml": {"Resources": {}}})))


class Helper(unittest.TestCase):
    """What the scripts leave to helper.py, with answers that no imitation of AWS gives."""

    def ask(self, *arguments, answer=None):
        command = [sys.executable, "-B", str(HELPER), *arguments]
        done = subprocess.run(command, input=json.dumps(answer), capture_output=True, text=True, timeout=30, check=False)
        return done.stdout + done.stderr

    def test_resources_that_are_gone_are_skipped(self):
        kind = "AWS::ElasticLoadBalancingV2::LoadBalancer"
        entries = [("a", "CREATE_COMPLETE"), ("b", "DELETE_COMPLETE"), (None, "CREATE_FAILED"), ("c", "DELETE_FAILED")]
        summaries = [
            {"ResourceType": kind, "ResourceStatus": status, **({"PhysicalResourceId": name} if name else {})}
            for name, status in entries
        ]
        self.assertEqual(self.ask("resources", kind, answer={"StackResourceSummaries": summaries}), "a\nc\n")

    def test_why_a_change_set_was_refused(self):
        pointer = {"Status": "FAILED", "StatusReason": "Nested change set A was not successfully created"}
        nothing = {"Status": "FAILED", "StatusReason": "No updates are to be performed."}
        wrong = {"Status": "FAILED", "StatusReason": "X is wrong"}
        changing = {"Status": "CREATE_COMPLETE", "Changes": [{}]}
        for documents, said in (
            ([nothing], ""),
            ([pointer], "Nested change set A was not successfully created\n"),
            ([pointer, nothing], ""),
            ([pointer, nothing, wrong], "X is wrong\n"),
            # Something else would have changed: that is not the same as nothing to do.
            ([pointer, nothing, changing], "Nested change set A was not successfully created\nNo updates are to be performed.\n"),
        ):
            with tempfile.TemporaryDirectory() as directory:
                paths = [Path(directory) / str(number) for number in range(len(documents))]
                for path, document in zip(paths, documents, strict=True):
                    path.write_text(json.dumps(document), encoding="utf-8")
                self.assertEqual(self.ask("refusal", *map(str, paths)), said)

    def test_tasks(self):
        with tempfile.TemporaryDirectory() as directory:
            path, template = Path(directory) / "dev.json", str(templates.TEMPLATES / "main.yaml")
            for given, said in (({"MinTasks": "7"}, "MinTasks is 7 and MaxTasks is 6"), ({"MinTasks": "6"}, "")):
                given = {"Environment": "dev", "CertificateArn": "arn", **given}
                path.write_text(json.dumps({"Parameters": given}), encoding="utf-8")
                answer = self.ask("check", str(path), template, "dev")
                self.assertEqual(answer[: len(said)] if said else answer, said)


class Scripts(unittest.TestCase):
    """Scripts with one line more: what dry runs must not do is seen."""

    def dry_run(self, line):
        with tempfile.TemporaryDirectory() as directory:
            checkout = aws.Checkout(Path(directory))
            path = checkout.scripts / "tear-down"
            path.write_text(path.read_text(encoding="utf-8") + line, encoding="utf-8")
            saved = dry.SCRIPTS, dry.ENVIRONMENTS
            dry.SCRIPTS, dry.ENVIRONMENTS = ("tear-down",), ("dev",)
            try:
                return "\n".join(dry.dry_runs(checkout, Path(directory)))
            finally:
                dry.SCRIPTS, dry.ENVIRONMENTS = saved

    def test_a_dry_run(self):
        self.assertEqual(self.dry_run(""), "")
        self.assertIn("calls aws sts get-caller-identity", self.dry_run("aws sts get-caller-identity || true\n"))
        self.assertIn("looks like a secret", self.dry_run(f"echo {'0123456789abcdef' * 4}\n"))
        self.assertIn("ends with 3", self.dry_run("exit 3\n"))


class Rights(unittest.TestCase):
    """The proxy between the service and DynamoDB."""

    def test_what_is_not_allowed_is_refused(self):
        class Upstream(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        upstream = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
        Thread(target=upstream.serve_forever, daemon=True).start()
        allowed = {("dynamodb:GetItem", "t-config"), ("dynamodb:PutItem", "t-usage")}
        put, update = {"Put": {"TableName": "t-usage"}}, {"Update": {"TableName": "t-counters"}}
        with proxy.Proxy(f"http://127.0.0.1:{upstream.server_port}", allowed) as between:
            self.assertEqual(self.ask(between, "GetItem", {"TableName": "t-config"}), 200)
            self.assertEqual(self.ask(between, "GetItem", {"TableName": "t-usage"}), 400)
            self.assertEqual(self.ask(between, "TransactWriteItems", {"TransactItems": [put]}), 200)
            self.assertEqual(self.ask(between, "TransactWriteItems", {"TransactItems": [put, update]}), 400)
            self.assertEqual(self.ask(between, "BatchGetItem", {"RequestItems": {"t-config": {}}}), 400)
        upstream.shutdown()
        upstream.server_close()
        self.assertEqual(
            between.refused,
            {("dynamodb:GetItem", "t-usage"), ("dynamodb:UpdateItem", "t-counters"), ("dynamodb:BatchGetItem", "t-config")},
        )

    @staticmethod
    def ask(between, operation, body):
        request = urllib.request.Request(
            between.url, json.dumps(body).encode(), {"X-Amz-Target": f"DynamoDB_20120810.{operation}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code


if __name__ == "__main__":
    unittest.main()
