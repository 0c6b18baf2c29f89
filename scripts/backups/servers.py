"""The servers of stores, on 127.0.0.1 and free ports, in directories that go with them."""

import json
import os
import pwd
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from tooling.packages import TARGET, Unavailable

ROOT = Path(__file__).resolve().parent.parent.parent
# A start takes a few seconds, also on a busy machine.
START_SECS = 60
STOP_SECS = 20
PREPARE = "run scripts/test --prepare, which installs it"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A process that is ended with the block, whatever happens in it."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.port = free_port()
        self.process: subprocess.Popen | None = None

    def start(self, command: list[str], ready, what: str) -> None:
        with (self.directory / "log").open("wb") as log:
            self.process = subprocess.Popen(command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + START_SECS
            while time.monotonic() < deadline and self.process.poll() is None:
                if ready():
                    return
                time.sleep(0.1)
            said = (self.directory / "log").read_text(encoding="utf-8", errors="replace")[-1000:]
            raise Unavailable(f"{what} did not start:\n{said}")
        except BaseException:
            # Python does not call it where the block was not entered.
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SECS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Postgres(Server):
    """PostgreSQL from the installed programs, as an account that is not root's."""

    PASSWORD = "keeper-backup"

    def __init__(self, directory: Path):
        super().__init__(directory)
        self.programs = self._programs()
        self.as_account: list[str] = []

    @staticmethod
    def _programs() -> Path:
        places = [Path(place) for place in os.environ.get("PATH", "").split(os.pathsep) if place]
        versions = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdigit()]
        places += sorted(versions, key=lambda path: int(path.parent.name), reverse=True)
        places.append(Path("/usr/local/bin"))
        for place in places:
            if all((place / name).exists() for name in ("initdb", "postgres", "pg_dump", "pg_restore", "psql")):
                return place
        raise Unavailable(f"PostgreSQL's programs (initdb, postgres, pg_dump, pg_restore) are missing: {PREPARE}")

    def __enter__(self) -> "Postgres":
        password = self.directory / "password"
        password.write_text(self.PASSWORD, encoding="ascii")
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for path in (self.directory, password):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
            self.as_account = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        data = self.directory / "data"
        init = [*self.as_account, str(self.programs / "initdb"), "-D", str(data), "-U", "keeper", "-A", "scram-sha-256"]
        init += ["-E", "UTF8", "--locale=C", "--no-sync", f"--pwfile={password}"]
        done = subprocess.run(init, cwd=self.directory, capture_output=True, text=True, timeout=START_SECS, check=False)
        if done.returncode != 0:
            raise Unavailable(f"initdb failed: {done.stderr.strip()}")
        command = [*self.as_account, str(self.programs / "postgres"), "-D", str(data), "-p", str(self.port)]
        settings = ("listen_addresses=127.0.0.1", "fsync=off", "shared_buffers=32MB", "dynamic_shared_memory_type=mmap")
        for setting in (*settings, f"unix_socket_directories={self.directory}"):
            command += ["-c", setting]
        state = data / "postmaster.pid"
        self.start(command, lambda: state.exists() and "ready" in state.read_text(encoding="utf-8"), "PostgreSQL")
        return self

    def url(self, database: str, account: str = "keeper") -> str:
        """All accounts have one password. `keeper` is the superuser."""
        return f"postgres://{account}:{self.PASSWORD}@127.0.0.1:{self.port}/{database}"

    def run(self, program: str, *arguments: str) -> str:
        """One of PostgreSQL's programs, as an operator runs it."""
        whole = [str(self.programs / program), *arguments]
        done = subprocess.run(whole, capture_output=True, text=True, timeout=START_SECS, check=False)
        if done.returncode != 0:
            raise Unavailable(f"{program} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        return done.stdout


class DynamoDbLocal(Server):
    """DynamoDB Local, as the tests run it: kept on 127.0.0.1, its clock in the past so that nothing expires."""

    REGION = "eu-central-1"

    def __enter__(self) -> "DynamoDbLocal":
        programs = Path(os.environ.get("COST_KEEPER_TEST_DYNAMODB_LOCAL") or TARGET / "tools" / "dynamodb-local")
        if not (programs / "DynamoDBLocal.jar").exists():
            raise Unavailable(f"DynamoDB Local is not in {programs}: {PREPARE}")
        home = os.environ.get("JAVA_HOME")
        java = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
        if java is None:
            raise Unavailable(f"java is missing: {PREPARE}")
        library = self.directory / "confined.so"
        source = ROOT / "tests" / "it" / "support" / "servers" / "confined.c"
        if subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source], check=False).returncode != 0:
            raise Unavailable(f"{source} does not compile")
        command = ["env", f"LD_PRELOAD={library}", java, "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        command += [f"-Djava.library.path={programs / 'DynamoDBLocal_lib'}", "-jar", str(programs / "DynamoDBLocal.jar")]
        command += ["-disableTelemetry", "-inMemory", "-port", str(self.port)]
        self.start(command, self._answers, "DynamoDB Local")
        return self

    def url(self, prefix: str) -> str:
        endpoint = f"http://127.0.0.1:{self.port}"
        return f"dynamodb://keeper:secret@?region={self.REGION}&ttl=off&endpoint={endpoint}&table_prefix={prefix}"

    def _answers(self) -> bool:
        try:
            self.call("ListTables", {})
        except OSError:
            return False
        return True

    def call(self, operation: str, body: dict) -> dict:
        """One call of the API. DynamoDB Local checks no signature."""
        scope = f"keeper/20260101/{self.REGION}/dynamodb/aws4_request"
        headers = {
            "X-Amz-Target": f"DynamoDB_20120810.{operation}",
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00",
        }
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def copy_table(self, source: str, target: str) -> int:
        """A new table with the items of another one, as a restore makes it: without time to live or tags."""
        described = self.call("DescribeTable", {"TableName": source})["Table"]
        wanted = {"TableName": target, "BillingMode": "PAY_PER_REQUEST"}
        wanted |= {name: described[name] for name in ("AttributeDefinitions", "KeySchema")}
        self.call("CreateTable", wanted)
        copied, page = 0, {}
        while True:
            scanned = self.call("Scan", {"TableName": source, **page})
            for start in range(0, len(scanned["Items"]), 25):
                puts = [{"PutRequest": {"Item": item}} for item in scanned["Items"][start : start + 25]]
                if self.call("BatchWriteItem", {"RequestItems": {target: puts}})["UnprocessedItems"]:
                    raise Unavailable(f"DynamoDB Local did not take all items of {target}")
            copied += len(scanned["Items"])
            if "LastEvaluatedKey" not in scanned:
                return copied
            page = {"ExclusiveStartKey": scanned["LastEvaluatedKey"]}
