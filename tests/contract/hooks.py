"""Leads generated requests to tenants that exist, so that most of them reach a handler, and counts what was answered.

Only valid parts of a request are replaced, and not in every request: what was made invalid on purpose stays so, and
unknown ids are tried too. Schemathesis imports this file; scripts/contract-check runs it, once for each caller.
"""

import atexit
import json
import os
import sys
import uuid
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import schemathesis

sys.path.insert(0, str(Path(__file__).parent))
import tenants as known  # noqa: E402

ROLE = os.environ["CONTRACT_ROLE"]
TENANTS = known.Tenants(os.environ["CONTRACT_URL"], os.environ["CONTRACT_KEY"])
TENANTS.restore()

# How many calls of an operation there were.
CALLS: Counter[str] = Counter()
# By validity and operation: how many calls got each status.
STATUSES: dict[str, defaultdict[str, Counter[int]]] = {"valid": defaultdict(Counter), "invalid": defaultdict(Counter)}
# Every fourth request keeps what was generated.
KEEP_EVERY = 4


def is_positive(case, location: str) -> bool:
    """Whether this part of the request was generated to be valid."""
    if case.meta is None:
        return True
    info = next((info for at, info in case.meta.components.items() if at.value == location), None)
    return info is None or info.mode.is_positive


def has_uuid(case, name: str) -> bool:
    try:
        uuid.UUID(str(case.path_parameters.get(name)))
    except ValueError:
        return False
    return True


def lead_path(case) -> None:
    parameters = case.path_parameters
    if not parameters or not is_positive(case, "path"):
        return
    if "org_id" in parameters and has_uuid(case, "org_id"):
        parameters["org_id"] = known.ORG
    if "app_id" in parameters:
        parameters["app_id"] = known.APP
    if "profile_label" in parameters:
        parameters["profile_label"] = known.PROFILE
    if "date" in parameters:
        parameters["date"] = datetime.now(UTC).strftime("%Y-%m-%d")


def lead_query(case) -> None:
    query = case.query
    if not query or not is_positive(case, "query"):
        return
    if "from" in query and "to" in query:
        today = datetime.now(UTC)
        query["from"], query["to"] = ((today - timedelta(days=ago)).strftime("%Y-%m-%d") for ago in (20, 0))
    if "group_by" in query:
        words = dict.fromkeys(str(query["group_by"]).split(","))
        query["group_by"] = ",".join(word for word in words if word in ("day", "model")) or "day"
    query.pop("cursor", None)
    if "token" in query:
        below = known.APP_PATH if "{app_id}" in case.path else known.ORG_PATH
        query["token"] = TENANTS.retrieval_token(below)


def lead_record(record: dict) -> None:
    if "model_label" in record:
        record["model_label"] = "premium"
    if "request_id" in record:
        # One id in two submissions is a conflict.
        record["request_id"] = str(uuid.uuid4())
    if isinstance(record.get("timestamp"), str):
        record["timestamp"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(record.get("bedrock_model_id"), str):
        record["bedrock_model_id"] = "amazon.nova-pro-v1:0"
    if record.get("usage") is None and "cost_usd_micros" not in record:
        # The document cannot say that one of the two is needed.
        record.update(input_tokens=record.get("input_tokens") or 0, output_tokens=record.get("output_tokens") or 0)
    elif record.get("usage") is not None:
        for flat in [name for name in record if name.endswith("_tokens")]:
            del record[flat]
    if isinstance(record.get("cache_write_1h_input_tokens"), int):
        record["cache_write_input_tokens"] = record["cache_write_1h_input_tokens"]


def lead_configuration(body: dict) -> None:
    if isinstance(body.get("timezone"), str):
        body["timezone"] = "Europe/Berlin"
    if isinstance(body.get("model_ordering"), list):
        body["model_ordering"] = known.LABELS[: max(1, len(body["model_ordering"]) % 4)]
    for quotas in ("quotas", "monthly_quotas"):
        if isinstance(body.get(quotas), dict):
            body[quotas] = dict(known.QUOTAS)
    if isinstance(body.get("overrides"), dict):
        overrides = body["overrides"]
        overrides.pop("agg_shard_count", None)
        overrides.pop("refresh_interval_secs", None)
    for name in ("org_name", "app_name"):
        if isinstance(body.get(name), str):
            body[name] = "Acme"


def lead_token_request(case) -> None:
    body = case.body
    if case.path == "/auth/revoke":
        body["token"] = TENANTS.tokens["refresh_token"]
    elif body.get("grant_type") == "refresh_token" or case.path == "/auth/refresh":
        case.body = {"grant_type": "refresh_token", "refresh_token": TENANTS.tokens["refresh_token"]}
    else:
        body.update(
            grant_type="client_credentials",
            client_id=TENANTS.client["client_id"],
            client_secret=TENANTS.client["client_secret"],
        )


def lead_body(case) -> None:
    body = case.body
    if not isinstance(body, dict) or not is_positive(case, "body"):
        return
    if case.path.startswith("/auth/"):
        lead_token_request(case)
    elif case.path.endswith(("/usage", "/costs")):
        lead_record(body)
    elif isinstance(body.get("requests"), list):
        for record in body["requests"]:
            lead_record(record)
    elif case.path == "/api/v1/config/import":
        for org in body.get("orgs", []):
            lead_configuration(org)
            org["org_id"] = known.ORG
            for app in org.get("apps", []):
                lead_configuration(app)
                app["app_id"] = known.APP
            del org.get("apps", [])[1:]
        del body.get("orgs", [])[1:]
    elif case.path.endswith("/fallback"):
        body["model_label"] = "standard"
    elif case.path == "/api/v1/reprice":
        body.clear()
    elif case.path.endswith("/inference-profiles"):
        body["profile_label"] = f"p-{uuid.uuid4().hex[:12]}"
        body["inference_profile_arn"] = known.PROFILE_BODY["inference_profile_arn"]
        body.pop("description", None)
    elif case.method == "PUT":
        lead_configuration(body)


def operation_of(case) -> str:
    return f"{case.operation.method.upper()} {case.operation.path}"


def is_valid(case) -> bool:
    return case.meta is None or case.meta.generation.mode.is_positive


def is_of_org_fallback(case) -> bool:
    """An organization has a fallback where its applications share the quotas."""
    return case.path.endswith("/orgs/{org_id}/fallback")


@schemathesis.hook
def before_call(context, case, kwargs) -> None:
    operation = operation_of(case)
    CALLS[operation] += 1
    if CALLS[operation] % KEEP_EVERY != 0:
        lead_path(case)
        lead_query(case)
        lead_body(case)
        if is_of_org_fallback(case):
            TENANTS.share_quotas(True)
        if case.method == "GET" and case.path.endswith("/fallback"):
            TENANTS.set_fallback(known.ORG_PATH if is_of_org_fallback(case) else known.APP_PATH)
    if ROLE == "client":
        case.headers["Authorization"] = f"Bearer {TENANTS.tokens['access_token']}"
    elif ROLE == "administrator":
        case.headers["X-API-Key"] = TENANTS.key


@schemathesis.hook
def after_call(context, case, response) -> None:
    method = case.method.upper()
    if method == case.operation.method.upper():
        STATUSES["valid" if is_valid(case) else "invalid"][operation_of(case)][response.status_code] += 1
    if is_of_org_fallback(case):
        TENANTS.share_quotas(False)
    changed = method in ("PUT", "DELETE") or case.path.endswith(("/import", "/rotate", "/secret", "/revoke-tokens"))
    if response.status_code < 300 and changed and not case.path.endswith("/fallback"):
        TENANTS.restore()
    elif response.status_code < 300 and case.path == "/auth/revoke":
        TENANTS.log_in()


@schemathesis.hook
def filter_failure(context, failure, case, response) -> bool:
    """A batch is answered with 207 whatever its records are: an invalid one must be reported as failed."""
    if type(failure).__name__ == "AcceptedNegativeData" and response.status_code == 207:
        return response.json()["failed"] == 0
    return True


@atexit.register
def report() -> None:
    Path(os.environ["CONTRACT_COUNTS"]).write_text(json.dumps(STATUSES), encoding="utf-8")
