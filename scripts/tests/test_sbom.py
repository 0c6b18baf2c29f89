"""Tests of scripts/sbom, on small bills written by hand."""

import copy
import json
import tempfile
import unittest
from pathlib import Path

from loading import load_script

script = load_script("sbom")

OURS = "path+file:///somewhere/keeper#keeper@1.0.0"
REGISTRY = "registry+https://example.org/index#"
CHECKSUMS = {("linked", "1.0.0"): "a" * 64, ("macros", "2.0.0"): "b" * 64, ("unused", "3.0.0"): "c" * 64}
LINKED = {("linked", "1.0.0")}
BUILDING = {("linked", "1.0.0"), ("macros", "2.0.0")}


def raw(directory="/somewhere"):
    """As the tool writes it: with the place, the time, and a package that is not built."""
    components = [
        {
            "type": "library",
            "bom-ref": f"{REGISTRY}{name}@{version}",
            "name": name,
            "version": version,
            "scope": "required",
            "hashes": [{"alg": "SHA-256", "content": checksum}],
            "licenses": [{"expression": "MIT"}],
            "purl": f"pkg:cargo/{name}@{version}",
        }
        for (name, version), checksum in reversed(CHECKSUMS.items())
    ]
    ours = OURS.replace("/somewhere", directory)
    component = {"bom-ref": ours, "name": "keeper", "version": "1.0.0", "purl": "pkg:cargo/keeper@1.0.0?download_url=file://."}
    refs = [component["bom-ref"] for component in components]
    return {
        "serialNumber": "urn:uuid:0",
        "metadata": {"timestamp": "2026-01-01T00:00:00Z", "component": {**component, "components": [{"purl": directory}]}},
        "components": components,
        "dependencies": [{"ref": ours, "dependsOn": refs}, *({"ref": ref} for ref in refs)],
    }


def bill(directory="/somewhere", bundled=None, date=None):
    return script.normalized(raw(directory), LINKED, BUILDING, bundled or {}, date)


class Normalizing(unittest.TestCase):
    def test_place_and_time_leave_no_trace(self):
        text = json.dumps(bill())
        self.assertEqual(text, json.dumps(bill("/elsewhere")))
        for trace in ("somewhere", "2026-01-01", "example.org", "urn:uuid:0\""):
            self.assertNotIn(trace, text)

    def test_contents_make_the_serial_number(self):
        self.assertRegex(bill()["serialNumber"], r"^urn:uuid:[0-9a-f-]{36}$")
        other = script.normalized(raw(), LINKED, LINKED, {}, None)
        self.assertNotEqual(bill()["serialNumber"], other["serialNumber"])

    def test_a_date_is_there_only_if_it_is_given(self):
        self.assertNotIn("timestamp", bill()["metadata"])
        self.assertEqual(bill(date="2023-11-14T22:13:20Z")["metadata"]["timestamp"], "2023-11-14T22:13:20Z")
        self.assertEqual(script.source_date({"SOURCE_DATE_EPOCH": "1700000000"}), "2023-11-14T22:13:20Z")
        self.assertIsNone(script.source_date({}))

    def test_what_is_not_built_is_left_out_with_its_edges(self):
        self.assertEqual([component["name"] for component in bill()["components"]], ["linked", "macros"])
        edges = {entry["ref"]: entry["dependsOn"] for entry in bill()["dependencies"]}
        self.assertEqual(edges["pkg:cargo/keeper@1.0.0"], ["pkg:cargo/linked@1.0.0", "pkg:cargo/macros@2.0.0"])
        self.assertEqual(set(edges), {"pkg:cargo/keeper@1.0.0", "pkg:cargo/linked@1.0.0", "pkg:cargo/macros@2.0.0"})

    def test_what_only_builds_is_excluded_from_what_runs(self):
        scopes = {component["name"]: component["scope"] for component in bill()["components"]}
        self.assertEqual(scopes, {"linked": "required", "macros": "excluded"})

    def test_what_a_linked_crate_brings_along_depends_on_it(self):
        addition = {"bom-ref": "pkg:generic/c@9", "name": "c", "version": "9", "scope": "required", "purl": "pkg:generic/c@9"}
        made = bill(bundled={"linked": addition, "macros": {**addition, "bom-ref": "pkg:generic/never@1"}})
        self.assertEqual([component["name"] for component in made["components"]], ["linked", "macros", "c"])
        edges = {entry["ref"]: entry["dependsOn"] for entry in made["dependencies"]}
        self.assertEqual(edges["pkg:cargo/linked@1.0.0"], ["pkg:generic/c@9"])
        self.assertEqual(edges["pkg:generic/c@9"], [])


class Completeness(unittest.TestCase):
    def refused(self, change):
        made = copy.deepcopy(bill())
        change(made)
        with self.assertRaises(script.Failed) as failure:
            script.check_complete(made, LINKED, BUILDING, CHECKSUMS)
        return str(failure.exception)

    def test_a_complete_bill_is_accepted(self):
        script.check_complete(bill(), LINKED, BUILDING, CHECKSUMS)

    def test_a_missing_package_is_refused(self):
        self.assertIn("missing [('linked', '1.0.0')]", self.refused(lambda made: made["components"].pop(0)))

    def test_a_package_that_is_not_built_is_refused(self):
        self.assertIn("unexpected", self.refused(lambda made: made["components"][0].update(scope="excluded")))

    def test_a_package_twice_is_refused(self):
        self.assertIn("twice", self.refused(lambda made: made["components"].append(made["components"][0])))

    def test_what_identifies_a_package_is_needed(self):
        self.assertIn("no license", self.refused(lambda made: made["components"][0].pop("licenses")))
        self.assertIn("checksum", self.refused(lambda made: made["components"][0]["hashes"][0].update(content="d" * 64)))
        self.assertIn("checksum", self.refused(lambda made: made["components"][0].pop("hashes")))
        self.assertIn("package URL", self.refused(lambda made: made["components"][0].update(purl="pkg:cargo/x@1")))

    def test_edges_belong_to_components(self):
        self.assertIn("not those", self.refused(lambda made: made["dependencies"].pop()))
        self.assertIn("nowhere", self.refused(lambda made: made["dependencies"][0]["dependsOn"].append("pkg:cargo/x@1")))


class InDirectory(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)


class Bundled(InDirectory):
    def test_the_version_is_that_of_the_sources(self):
        (self.directory / "sqlite3").mkdir()
        header = self.directory / "sqlite3" / "sqlite3.h"
        header.write_text('#define SQLITE_VERSION        "3.51.3"\n', encoding="utf-8")
        found = script.bundled_components({"libsqlite3-sys": self.directory})
        self.assertEqual({crate: component["purl"] for crate, component in found.items()}, {"libsqlite3-sys": "pkg:generic/sqlite@3.51.3"})
        header.write_text("", encoding="utf-8")
        with self.assertRaises(script.Failed):
            script.bundled_components({"libsqlite3-sys": self.directory})


class Notices(InDirectory):
    def package(self, name, text=None, license_expression="MIT OR Apache-2.0"):
        (self.directory / name).mkdir()
        if text is not None:
            (self.directory / name / "LICENSE-MIT").write_text(text, encoding="utf-8")
        return {
            "name": name,
            "version": "1.0.0",
            "license": license_expression,
            "manifest_path": str(self.directory / name / "Cargo.toml"),
            "authors": ["Ada <ada@example.org>"],
            "repository": "https://example.org/x",
        }

    def test_the_same_text_is_there_once_for_all_it_is_of(self):
        text = script.notices([self.package("b", "same\n"), self.package("a", "same"), self.package("c", "other")], "")
        self.assertEqual(text.count("same"), 1)
        self.assertIn("a 1.0.0 (MIT OR Apache-2.0)\nb 1.0.0 (MIT OR Apache-2.0)\n", text)
        self.assertIn("other", text)

    def test_a_package_without_its_text_gets_the_standard_one_or_is_refused(self):
        mit = "MIT License\n\nCopyright (c) 2026 us\n\nPermission is granted"
        text = script.notices([self.package("a")], mit)
        self.assertIn("Copyright (c) Ada, https://example.org/x\n\nPermission is granted", text)
        with self.assertRaises(script.Failed):
            script.notices([self.package("b", license_expression="ISC")], mit)


if __name__ == "__main__":
    unittest.main()
