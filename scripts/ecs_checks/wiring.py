"""What must hold between the parts of a deployment: network, load balancer, task definition, service, logs, tables.

Each function takes a resolved deployment and yields findings. None of them asks anything of AWS.
"""

import json
import re
from collections.abc import Iterator

from ecs_checks.templates import Broken, Deployment, Resource

API, METRICS = 8080, 9464
ROLES = ("config", "usage", "counters", "totals")
# What outlives its stack. A first deployment that fails must not leave empty tables in the way of the second.
KEPT = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}
# What EC2 takes as the description of a security group and of its rules.
DESCRIPTION = re.compile(r"[A-Za-z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}")


def container(deployment: Deployment) -> dict:
    containers = deployment.one("ECS::TaskDefinition").properties["ContainerDefinitions"]
    essential = [entry for entry in containers if entry.get("Essential", True) in (True, "true")]
    if len(essential) != 1:
        raise Broken(f"the task definition has {len(essential)} essential containers")
    return essential[0]


def environment(deployment: Deployment) -> dict[str, str]:
    """Variables of the service, as the task definition sets them."""
    return {entry["Name"]: str(entry["Value"]) for entry in container(deployment).get("Environment", [])}


def true(value: object) -> bool:
    return str(value).lower() == "true"


def attributes(resource: Resource, name: str) -> dict[str, str]:
    return {entry["Key"]: str(entry["Value"]) for entry in resource.properties.get(name, [])}


def ingress(deployment: Deployment, group: str) -> list[dict]:
    """Rules into a security group, wherever they are written."""
    found = []
    for resource in deployment.of_type("EC2::SecurityGroup"):
        if resource.stack.reference(resource.name) == group:
            found += resource.properties.get("SecurityGroupIngress", [])
    standalone = deployment.of_type("EC2::SecurityGroupIngress")
    return found + [rule.properties for rule in standalone if rule.properties["GroupId"] == group]


def egress(deployment: Deployment, group: str) -> list[dict]:
    found = []
    for resource in deployment.of_type("EC2::SecurityGroup"):
        if resource.stack.reference(resource.name) == group:
            found += resource.properties.get("SecurityGroupEgress", [])
    standalone = deployment.of_type("EC2::SecurityGroupEgress")
    return found + [rule.properties for rule in standalone if rule.properties["GroupId"] == group]


def ports(deployment: Deployment) -> Iterator[str]:
    """One port from the task to the load balancer, and nobody else reaches it."""
    variables, target = environment(deployment), deployment.one("ElasticLoadBalancingV2::TargetGroup")
    mapped = {int(entry["ContainerPort"]) for entry in container(deployment)["PortMappings"]}
    listen = variables.get("COST_KEEPER_SERVER__LISTEN", f"0.0.0.0:{API}")
    if listen.rpartition(":")[2] != str(API) or API not in mapped:
        yield f"the task listens on {listen} and maps {sorted(mapped)}; the API's port is {API}"
    if int(target.properties["Port"]) != API:
        yield f"{target.where}: port {target.properties['Port']} is not the task's, {API}"
    service = deployment.one("ECS::Service")
    for entry in service.properties["LoadBalancers"]:
        if int(entry["ContainerPort"]) != API or entry["ContainerName"] != container(deployment)["Name"]:
            yield f"{service.where}: registers {entry['ContainerName']}:{entry['ContainerPort']}, which is not the API"
        if entry["TargetGroupArn"] != target.stack.reference(target.name):
            yield f"{service.where}: registers in another target group"
    balancer = deployment.one("ElasticLoadBalancingV2::LoadBalancer")
    (outer,), (inner,) = balancer.properties["SecurityGroups"], task_groups(deployment)
    into = ingress(deployment, inner)
    if not any(rule_covers(rule, API) and rule.get("SourceSecurityGroupId") == outer for rule in into):
        yield f"the load balancer does not reach port {API} of the tasks"
    if not any(rule_covers(rule, API) and reaches(rule, inner) for rule in egress(deployment, outer)):
        yield f"{balancer.where}: its security group lets nothing out to port {API} of the tasks"
    for rule in into:
        if "SourceSecurityGroupId" not in rule:
            yield f"others than a security group reach the tasks: {rule}"
        elif rule["SourceSecurityGroupId"] == outer and not only(rule, API):
            yield f"the load balancer reaches more of the tasks than port {API}"
        elif rule["SourceSecurityGroupId"] != outer and not only(rule, METRICS):
            yield f"who reads the metrics reaches more than port {METRICS}: {rule}"
    scraped = any(rule_covers(rule, METRICS) for rule in into)
    metrics = variables.get("COST_KEEPER_METRICS__LISTEN", "")
    # On the task's own address where nobody else asks: its health check does.
    if metrics != f"{'0.0.0.0' if scraped else '127.0.0.1'}:{METRICS}":
        yield f"metrics: the task listens on {metrics or 'nothing'}, the security group lets somebody to it: {scraped}"
    probe = container(deployment)["HealthCheck"]["Command"]
    if probe[0] != "CMD" or probe[-1] != f"http://127.0.0.1:{METRICS}/livez":
        yield f"the health check asks {probe}, and not beside the metrics, where an API without room for it does not matter"
    if not any(rule_covers(rule, 443) for rule in egress(deployment, inner)):
        yield "the tasks cannot reach AWS on port 443"


def rule_covers(rule: dict, port: int) -> bool:
    if str(rule["IpProtocol"]) == "-1":
        return True
    return rule["IpProtocol"] == "tcp" and int(rule["FromPort"]) <= port <= int(rule["ToPort"])


def only(rule: dict, port: int) -> bool:
    return rule["IpProtocol"] == "tcp" and int(rule["FromPort"]) == int(rule["ToPort"]) == port


def reaches(rule: dict, group: str) -> bool:
    return rule.get("DestinationSecurityGroupId") == group or rule.get("CidrIp") == "0.0.0.0/0"


def descriptions(deployment: Deployment) -> Iterator[str]:
    """Security groups and rules that EC2 would refuse for a character in their description."""
    for kind in ("EC2::SecurityGroup", "EC2::SecurityGroupIngress", "EC2::SecurityGroupEgress"):
        for resource in deployment.of_type(kind):
            own = resource.properties
            rules = [own, *own.get("SecurityGroupIngress", []), *own.get("SecurityGroupEgress", [])]
            for text in [own.get("GroupDescription", ""), *(rule.get("Description", "") for rule in rules)]:
                if not DESCRIPTION.fullmatch(text):
                    yield f"{resource.where}: EC2 does not take the description {text!r}"


def network(deployment: Deployment) -> dict:
    return deployment.one("ECS::Service").properties["NetworkConfiguration"]["AwsvpcConfiguration"]


def task_groups(deployment: Deployment) -> list[str]:
    return network(deployment)["SecurityGroups"]


def balancing(deployment: Deployment) -> Iterator[str]:
    """HTTPS only, health by readiness, and X-Forwarded-For that can be believed."""
    for listener in deployment.of_type("ElasticLoadBalancingV2::Listener"):
        properties = listener.properties
        if properties["Protocol"] != "HTTPS" or not properties.get("Certificates"):
            yield f"{listener.where}: {properties['Protocol']}, and only HTTPS with a certificate is allowed"
        if "TLS13" not in properties.get("SslPolicy", ""):
            yield f"{listener.where}: the TLS policy {properties.get('SslPolicy')} allows old versions"
    balancer = deployment.one("ElasticLoadBalancingV2::LoadBalancer")
    for rule in ingress(deployment, balancer.properties["SecurityGroups"][0]):
        if not only(rule, 443):
            yield f"{balancer.where}: clients reach another port than 443: {rule}"
    target, variables = deployment.one("ElasticLoadBalancingV2::TargetGroup"), environment(deployment)
    if target.properties.get("HealthCheckPath") != "/readyz":
        yield f"{target.where}: health is asked at {target.properties.get('HealthCheckPath')} and not at /readyz"
    if target.properties.get("TargetType") != "ip":
        yield f"{target.where}: Fargate needs the target type ip"
    proxies = variables.get("COST_KEEPER_SERVER__TRUSTED_PROXIES", "")
    if not proxies:
        yield "server.trusted_proxies is not set: all clients would share the load balancer's failed logins"
    for proxy in proxies.split(","):
        if not (re.fullmatch(r"[0-9.]+/(1[6-9]|2[0-9]|3[0-2])", proxy) or proxy.startswith("<")):
            yield f"server.trusted_proxies: {proxy!r} is no network of subnets"
    idle = int(attributes(balancer, "LoadBalancerAttributes").get("idle_timeout.timeout_seconds", 60))
    request = int(variables.get("COST_KEEPER_SERVER__REQUEST_TIMEOUT_SECS", 15))
    read = int(variables.get("COST_KEEPER_SERVER__READ_TIMEOUT_SECS", 10))
    if not request < idle < read:
        yield f"{balancer.where}: idle for {idle} s; longer than a request ({request} s), shorter than the service ({read} s)"


def stopping(deployment: Deployment) -> Iterator[str]:
    """A task that stops finishes what it has."""
    variables, target = environment(deployment), deployment.one("ElasticLoadBalancingV2::TargetGroup")
    delay = int(variables.get("COST_KEEPER_SERVER__DRAIN_DELAY_SECS", 1))
    drain = int(variables.get("COST_KEEPER_SERVER__DRAIN_TIMEOUT_SECS", 25))
    stop = int(container(deployment).get("StopTimeout", 30))
    if stop < delay + drain or stop > 120:
        yield f"stopTimeout is {stop} s; draining takes {delay} + {drain} s, and Fargate allows 120"
    deregistration = int(attributes(target, "TargetGroupAttributes").get("deregistration_delay.timeout_seconds", 300))
    request = int(variables.get("COST_KEEPER_SERVER__REQUEST_TIMEOUT_SECS", 15))
    if not request <= deregistration <= 120:
        yield f"{target.where}: deregistration delay {deregistration} s; a request takes up to {request} s"


def service(deployment: Deployment) -> Iterator[str]:
    """Deployments that fail return to what ran before; tasks are private, spread and unprivileged."""
    resource = deployment.one("ECS::Service")
    configuration = resource.properties.get("DeploymentConfiguration", {})
    breaker = configuration.get("DeploymentCircuitBreaker", {})
    if not (true(breaker.get("Enable")) and true(breaker.get("Rollback"))):
        yield f"{resource.where}: the circuit breaker with rollback is not on"
    if int(configuration.get("MinimumHealthyPercent", 100)) < 100:
        yield f"{resource.where}: a deployment takes tasks away before there are new ones"
    if network(deployment).get("AssignPublicIp", "DISABLED") != "DISABLED":
        yield f"{resource.where}: tasks get public addresses"
    subnets = set(network(deployment)["Subnets"])
    balancer = deployment.one("ElasticLoadBalancingV2::LoadBalancer")
    if subnets & set(balancer.properties["Subnets"]):
        yield "tasks are in subnets of the load balancer, whose addresses are believed in X-Forwarded-For"
    public = {route_target(route) for route in deployment.of_type("EC2::Route") if "GatewayId" in route.properties}
    for association in deployment.of_type("EC2::SubnetRouteTableAssociation"):
        if association.properties["SubnetId"] in subnets and association.properties["RouteTableId"] in public:
            yield f"{association.where}: tasks are in a subnet with a route to the internet"
    if len(subnets) < 2:
        yield "tasks are in fewer than two subnets"
    definition = container(deployment)
    if not true(definition.get("ReadonlyRootFilesystem")):
        yield "the container's root file system can be written"
    if str(definition.get("User", "65532:65532")).split(":")[0] in ("0", "root"):
        yield "the container runs as root"
    for name in definition.get("Environment", []):
        if re.search(r"(KEY|SECRET|KEYS|SECRETS)$", name["Name"]):
            yield f"{name['Name']} is a secret in the environment of the task definition"
    maximum = int(environment(deployment).get("COST_KEEPER_SERVER__MAX_CONNECTIONS", 8192))
    memory = int(deployment.one("ECS::TaskDefinition").properties["Memory"])
    body = int(environment(deployment).get("COST_KEEPER_SERVER__BODY_LIMIT_BYTES", 1 << 20))
    if maximum * body > memory << 20:
        yield f"{maximum} connections of {body} bytes are more than the task's {memory} MiB"


def route_target(route: Resource) -> str:
    return route.properties["RouteTableId"]


def scaling(deployment: Deployment) -> Iterator[str]:
    for target in deployment.of_type("ApplicationAutoScaling::ScalableTarget"):
        least, most = int(target.properties["MinCapacity"]), int(target.properties["MaxCapacity"])
        if least > most:
            yield f"{target.where}: {least} tasks at least and {most} at most"
    for policy in deployment.of_type("ApplicationAutoScaling::ScalingPolicy"):
        resource = policy.properties.get("ScalingTargetId") or policy.properties.get("ResourceId")
        owners = [target.stack.reference(target.name) for target in deployment.of_type("ApplicationAutoScaling::ScalableTarget")]
        if resource not in owners:
            yield f"{policy.where}: scales nothing of this deployment"


def logs(deployment: Deployment) -> Iterator[str]:
    groups = deployment.of_type("Logs::LogGroup")
    for group in groups:
        if not group.properties.get("RetentionInDays"):
            yield f"{group.where}: logs are kept for ever"
        for policy, value in KEPT.items():
            if group.definition.get(policy) != value:
                yield f"{group.where}: {policy} is not {value}"
    names = [group.stack.reference(group.name) for group in groups]
    configuration = container(deployment).get("LogConfiguration", {})
    options = configuration.get("Options", {})
    if configuration.get("LogDriver") != "awslogs" or options.get("awslogs-group") not in names:
        yield f"the container logs to {options.get('awslogs-group')}, which is no log group of this deployment"
    if environment(deployment).get("COST_KEEPER_LOG__FORMAT") != "json":
        yield "the log is not JSON, which filters and queries need"
    for metric in deployment.of_type("Logs::MetricFilter"):
        if metric.properties["LogGroupName"] not in names:
            yield f"{metric.where}: looks at another log group"


def tables(deployment: Deployment, wanted: list[dict]) -> Iterator[str]:
    """The tables are those the binary would make, and are protected."""
    prefix = deployment.root.parameters["TablePrefix"]
    url = environment(deployment)["COST_KEEPER_STORAGE__URL"]
    if f"table_prefix={prefix}" not in re.split("[?&]", url):
        yield f"storage.url is {url}, and the tables start with {prefix}"
    production = deployment.root.parameters["Environment"] == "production"
    found = {table.properties["TableName"]: table for table in deployment.of_type("DynamoDB::Table")}
    expected = {table["TableName"]: table for table in wanted}
    if set(found) != set(expected):
        yield f"tables are {', '.join(sorted(found))}; the binary makes {', '.join(sorted(expected))}"
    for name, table in found.items():
        if name in expected and (differing := difference(table.properties, expected[name])):
            yield f"{table.where}: {name} differs from what `migrate` makes: {differing}"
        for policy, value in KEPT.items():
            if table.definition.get(policy) != value:
                yield f"{table.where}: {policy} is not {value}"
        if not true(table.properties.get("PointInTimeRecoverySpecification", {}).get("PointInTimeRecoveryEnabled")):
            yield f"{table.where}: no point-in-time recovery"
        if production and not true(table.properties.get("DeletionProtectionEnabled")):
            yield f"{table.where}: no deletion protection in production"


def difference(properties: dict, wanted: dict) -> str:
    """What differs of what the binary says, in any order; what it does not say is the template's to add."""

    def form(value: object) -> str:
        if isinstance(value, list):
            return json.dumps(sorted(json.dumps(entry, sort_keys=True) for entry in value))
        if isinstance(value, dict):
            return json.dumps({key: form(part) for key, part in value.items()}, sort_keys=True)
        return str(value).lower()

    unlike = [key for key in wanted if form(properties.get(key)) != form(wanted[key])]
    unlike += [key for key in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes") if key in properties and key not in wanted]
    return ", ".join(f"{key} is {json.dumps(properties.get(key))}" for key in unlike)


CHECKS = (ports, descriptions, balancing, stopping, service, scaling, logs)


def findings(deployment: Deployment) -> Iterator[str]:
    for check in CHECKS:
        yield from check(deployment)
