"""The tenants that generated requests meet: registered over the API, and registered again where a request deleted or
changed them. Knows nothing of Schemathesis."""

import json
import urllib.error
import urllib.request

ORG = "550e8400-e29b-41d4-a716-446655440000"
APP = "chat"
PROFILE = "support-profile"
ORG_PATH = f"/api/v1/orgs/{ORG}"
APP_PATH = f"{ORG_PATH}/apps/{APP}"
LABELS = ["premium", "standard", "economy"]
QUOTAS = {"premium": 10_000_000, "standard": 5_000_000, "economy": 1_000_000}

ORG_BODY = {
    "org_name": "Acme",
    "timezone": "UTC",
    "quota_scope": "APP",
    "model_ordering": LABELS,
    "quotas": QUOTAS,
    "secret_delivery": "inline",
}
APP_BODY = {"app_name": "Support chat", "secret_delivery": "inline"}
PROFILE_BODY = {
    "profile_label": PROFILE,
    "inference_profile_arn": "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0",
}
# No proxy of the environment: the server is on this machine.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Tenants:
    """The organization, its application and the application's tokens."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key
        self.client: dict[str, str] = {}
        self.tokens: dict[str, str] = {}

    def call(self, method: str, path: str, body: object = None, token: str | None = None) -> tuple[int, dict]:
        """Status and body of a call, with the key or this token."""
        headers = {"Authorization": f"Bearer {token}"} if token else {"X-API-Key": self.key}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with OPENER.open(request, timeout=20) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, text = error.code, error.read()
        return status, json.loads(text) if text else {}

    def expect(self, statuses: tuple[int, ...], method: str, path: str, body: object = None) -> dict:
        status, answer = self.call(method, path, body)
        if status not in statuses:
            raise RuntimeError(f"{method} {path}: {status} {answer}")
        return answer

    def restore(self) -> None:
        """Registers what is missing and sets right what was changed."""
        self.expect((200, 201), "PUT", ORG_PATH, ORG_BODY)
        answer = self.expect((200, 201), "PUT", APP_PATH, APP_BODY)
        if "credentials" in answer:
            self.client = answer["credentials"]
        else:
            rotation = {"grace_period_hours": 0, "secret_delivery": "inline"}
            self.client = self.expect((200,), "POST", f"{APP_PATH}/credentials/rotate", rotation)
        self.expect((200, 201), "POST", f"{APP_PATH}/inference-profiles", PROFILE_BODY)
        self.log_in()

    def log_in(self) -> None:
        grant = {
            "grant_type": "client_credentials",
            "client_id": self.client["client_id"],
            "client_secret": self.client["client_secret"],
        }
        self.tokens = self.expect((200,), "POST", "/auth/token", grant)

    def retrieval_token(self, path: str) -> str:
        """A one-time token of the client below this path; its secret is another one from now on."""
        answer = self.expect((200,), "POST", f"{path}/credentials/rotate", {"grace_period_hours": 168})
        return answer["secret_retrieval"]["token"]

    def share_quotas(self, shared: bool) -> None:
        """Whether the organization's applications share its quotas."""
        scope = "ORG" if shared else "APP"
        self.expect((200,), "PUT", ORG_PATH, {**ORG_BODY, "quota_scope": scope})

    def set_fallback(self, path: str) -> None:
        self.call("PUT", f"{path}/fallback", {"model_label": "standard"})
