"""Messages that docs/troubleshooting.md and the runbooks quote are those of the service, or known ones of others."""

import re
import unittest

from loading import SCRIPTS

ROOT = SCRIPTS.parent
# What the operating system, the platform, a store or a client's own software says.
OF_OTHERS = (
    "Address already in use", "No such file or directory", "Too many open files", "OOMKilled", "CrashLoopBackOff",
    "exec format error", "database or disk is full", "database is locked", "readonly database", "AccessDenied",
)  # fmt: skip
# Shorter pieces between two `…` say nothing.
SHORTEST = 6


def source() -> str:
    """All messages, as they are compiled: strings that go on in the next line are joined."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "src").rglob("*.rs"))]
    texts.append((ROOT / "docs" / "configuration.md").read_text(encoding="utf-8"))
    return re.sub(r"\\\n\s*", "", "\n".join(texts)).replace("{{", "{").replace("}}", "}")


def quoted(markdown: str) -> list[str]:
    """Code spans in the first column of tables."""
    found = []
    for line in markdown.splitlines():
        if line.startswith("| ") and not line.startswith("| What you see"):
            found += re.findall(r"`([^`]+)`", line.split(" | ")[0])
    return found


def pieces(message: str) -> list[str]:
    return [piece.strip(" ():;,") for piece in message.split("…") if len(piece.strip(" ():;,")) >= SHORTEST]


def unknown(markdown: str, messages: str) -> list[str]:
    """Quoted messages that nobody says. What stands where a `{value}` is in the source has to be written as `…`."""
    missing = []
    for message in quoted(markdown):
        for piece in pieces(message):
            for other in OF_OTHERS:
                piece = piece.replace(other, "").strip(" ():;,")
            if piece and piece not in messages:
                missing.append(f"{message}: nothing says `{piece}`")
    return missing


class Messages(unittest.TestCase):
    def test_every_quoted_message_is_a_real_one(self):
        text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
        self.assertGreater(len(quoted(text)), 50)
        self.assertEqual(unknown(text, source()), [])

    def test_lines_of_the_log_in_runbooks_are_real_ones(self):
        text = (ROOT / "docs" / "operations" / "runbooks.md").read_text(encoding="utf-8")
        lines = re.findall(r"^(?:WARN|ERROR) \S+ ?(?:\w+::)*[\w:]*:? ?(.*?) (?:reason|error)=", text, re.MULTILINE)
        self.assertGreater(len(lines), 3)
        messages = source()
        self.assertEqual([line for line in lines if line.split(": ", 1)[-1] not in messages], [])

    def test_what_nobody_says_is_found(self):
        table = "| What you see | Why |\n|---|---|\n| 401 `the token is bent` | it is |\n| `a … is full` | it is |\n"
        self.assertEqual(len(unknown(table, "the token is gone, is full")), 1)
        self.assertEqual(unknown(table, "the token is bent, is full"), [])

    def test_messages_of_others_are_left_out(self):
        table = "| `cannot listen on …: Address already in use` | |"
        self.assertEqual(unknown(table, "cannot listen on {address}"), [])


if __name__ == "__main__":
    unittest.main()
