"""Tests of scripts/refresh-prices, on small maps written by hand."""

import contextlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import unittest
import zipfile
from pathlib import Path

from loading import SCRIPTS, load_script

SCRIPT = SCRIPTS / "refresh-prices"

script = load_script("refresh-prices")


def fields(provider="bedrock_converse", **prices):
    """The text of an entry; prices are given as the digits that stand in the file."""
    parts = [f'"litellm_provider": "{provider}"', '"mode": "chat"']
    parts += [f'"{name}": {digits}' for name, digits in prices.items()]
    return "{" + ", ".join(parts) + "}"


def plain(input_price="1e-06", output_price="2e-06", provider="bedrock_converse", **more):
    return fields(provider, input_cost_per_token=input_price, output_cost_per_token=output_price, **more)


def text_of(entries):
    return "{" + ", ".join(f"{json.dumps(key)}: {entry}" for key, entry in entries.items()) + "}"


class InDirectory(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.map = self.directory / "map.json"
        self.snapshot = self.directory / "snapshot.csv"

    def run_text(self, text, *options):
        """Exit status, standard output and standard error of a run on this price map."""
        self.map.write_text(text, encoding="utf-8")
        return self.run_file(self.map, "--source", "a test", *options)

    def run_map(self, entries, *options):
        return self.run_text(text_of(entries), *options)

    def run_file(self, path, *options):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = script.main(
                [str(path), "--output", str(self.snapshot), "--retrieved", "2026-01-02", *options]
            )
        return status, out.getvalue(), err.getvalue()

    def lines(self):
        """The rows of the written snapshot."""
        return self.snapshot.read_bytes().decode("utf-8").split("\n")[6:-1]

    def rows_of(self, entries):
        status, _, err = self.run_map(entries)
        self.assertEqual((status, err), (0, ""))
        return self.lines()

    def refused(self, text, *reasons):
        status, _, err = self.run_text(text)
        self.assertEqual(status, 2)
        for reason in reasons:
            self.assertIn(reason, err)
        self.assertFalse(self.snapshot.exists())


class Normalisation(InDirectory):
    def test_the_file_has_its_provenance_a_header_and_sorted_rows(self):
        self.rows_of({"v.b": plain(), "v.a": plain(), "gpt-x": '{"litellm_provider": "openai"}'})
        self.assertEqual(
            self.snapshot.read_bytes().decode("utf-8"),
            "# schema: 1\n"
            "# source: a test\n"
            "# licence: MIT\n"
            "# retrieved: 2026-01-02\n"
            "# unit: pico-USD per unit (equals micro-USD per one million units)\n"
            "model,api,scope,region,tier,latency,prompt_gt,"
            "input,output,cache_read,cache_write_5m,cache_write_1h,units,retire_after\n"
            "v.a,runtime,in_region,,default,standard,,1000000,2000000,,,,,\n"
            "v.b,runtime,in_region,,default,standard,,1000000,2000000,,,,,\n",
        )

    def test_scope_prefixes(self):
        prefixes = ["us", "eu", "apac", "jp", "au", "in", "us-gov", "global"]
        rows = self.rows_of({f"{prefix}.v.m": plain() for prefix in prefixes})
        places = [",".join(row.split(",")[:4]) for row in rows]
        self.assertEqual(
            places,
            sorted([f"v.m,runtime,geo:{prefix}," for prefix in prefixes[:-1]] + ["v.m,runtime,global,"]),
        )

    def test_region_and_api_of_a_key(self):
        rows = self.rows_of(
            {
                "bedrock/us-gov-west-1/v.m@1": plain(provider="bedrock"),
                "bedrock/eu-south-2/eu.v.m": plain(provider="bedrock"),
                "bedrock_mantle/v.m": plain(provider="bedrock_mantle"),
                "bedrock_mantle/us-gov-east-1/v.m": plain(provider="bedrock_mantle"),
                "bedrock/v.n": plain(provider="bedrock"),
            }
        )
        self.assertEqual(
            [row.split(",")[:4] for row in rows],
            [
                ["v.m", "mantle", "in_region", ""],
                ["v.m", "mantle", "in_region", "us-gov-east-1"],
                ["v.m", "runtime", "geo:eu", "eu-south-2"],
                ["v.m@1", "runtime", "in_region", "us-gov-west-1"],
                ["v.n", "runtime", "in_region", ""],
            ],
        )

    def test_prices_are_exact_in_every_notation(self):
        self.assertIn(
            "v.m,runtime,in_region,,default,standard,,343750,20000,3,0,1000000000000,,",
            self.rows_of(
                {
                    "v.m": plain(
                        "3.4375e-07",
                        "0.00000002",
                        cache_read_input_token_cost="3E-12",
                        cache_creation_input_token_cost="0.0",
                        cache_creation_input_token_cost_above_1hr="1",
                    )
                }
            ),
        )

    def test_a_remainder_below_one_pico_dollar_is_rounded_up_and_told(self):
        status, out, _ = self.run_map({"v.m": plain("1.0000001e-06", "1e-15")})
        self.assertEqual(status, 0)
        self.assertEqual(self.lines(), ["v.m,runtime,in_region,,default,standard,,1000001,1,,,,,"])
        self.assertEqual(out.count("rounded up"), 2)

    def test_a_missing_price_is_empty_and_a_free_one_is_zero(self):
        self.assertEqual(
            self.rows_of({"v.m": plain("0", "0.0", cache_read_input_token_cost="null")}),
            ["v.m,runtime,in_region,,default,standard,,0,0,,,,,"],
        )

    def test_tiers(self):
        entry = plain(
            input_cost_per_token_priority="4e-06",
            output_cost_per_token_priority="5e-06",
            cache_read_input_token_cost_priority="6e-06",
            input_cost_per_token_flex="7e-06",
            output_cost_per_token_flex="8e-06",
            input_cost_per_token_batches="9e-06",
            output_cost_per_token_batches="1e-05",
            input_cost_per_token_ultrafast="0.1",
        )
        self.assertEqual(
            self.rows_of({"v.m": entry}),
            [
                "v.m,runtime,in_region,,batch,standard,,9000000,10000000,,,,,",
                "v.m,runtime,in_region,,default,standard,,1000000,2000000,,,,,",
                "v.m,runtime,in_region,,flex,standard,,7000000,8000000,,,,,",
                "v.m,runtime,in_region,,priority,standard,,4000000,5000000,6000000,,,,",
            ],
        )

    def test_long_prompts_and_the_lifetime_of_cache_writes(self):
        entry = plain(
            cache_creation_input_token_cost="3e-06",
            cache_creation_input_token_cost_above_1hr="4e-06",
            input_cost_per_token_above_200k_tokens="5e-06",
            output_cost_per_token_above_200k_tokens="6e-06",
            cache_creation_input_token_cost_above_200k_tokens="7e-06",
            cache_creation_input_token_cost_above_1hr_above_200k_tokens="8e-06",
            input_cost_per_token_above_1000k_tokens="9e-06",
            output_cost_per_token_above_1000k_tokens="9e-06",
            input_cost_per_token_batches="1e-07",
            output_cost_per_token_batches="1e-07",
            input_cost_per_token_above_200k_tokens_batches="2e-07",
            output_cost_per_token_above_200k_tokens_batches="2e-07",
        )
        self.assertEqual(
            self.rows_of({"v.m": entry}),
            [
                "v.m,runtime,in_region,,batch,standard,,100000,100000,,,,,",
                "v.m,runtime,in_region,,batch,standard,200000,200000,200000,,,,,",
                "v.m,runtime,in_region,,default,standard,,1000000,2000000,,3000000,4000000,,",
                "v.m,runtime,in_region,,default,standard,200000,5000000,6000000,,7000000,8000000,,",
                "v.m,runtime,in_region,,default,standard,1000000,9000000,9000000,,,,,",
            ],
        )

    def test_units_that_are_no_text_tokens(self):
        rows = self.rows_of(
            {
                "v.embed": fields(
                    input_cost_per_query="7e-05",
                    input_cost_per_video_per_second="0.0007",
                    input_cost_per_audio_per_second="0.00014",
                    input_cost_per_image="0.0001",
                    output_cost_per_token="0.0",
                ),
                "v.paint": fields(output_cost_per_image="0.6"),
                "v.talk": plain(input_cost_per_audio_token="3e-06", output_cost_per_audio_token="4e-06"),
                "v.see": plain(input_cost_per_image_token="1e-06"),
                "v.see-dear": plain(input_cost_per_image_token="3e-06"),
            }
        )
        self.assertEqual(
            [row.replace(",runtime,in_region,,default,standard,", "") for row in rows],
            [
                "v.embed,,0,,,,input_audio_second=140000000;input_image=100000000;"
                "input_video_second=700000000;query=70000000,",
                "v.paint,,,,,,output_image=600000000000,",
                "v.see,1000000,2000000,,,,,",
                "v.see-dear,1000000,2000000,,,,input_image_token=3000000,",
                "v.talk,1000000,2000000,,,,input_audio_token=3000000;output_audio_token=4000000,",
            ],
        )

    def test_cache_writes_of_nova_are_free_where_reads_are_priced(self):
        rows = self.rows_of(
            {
                "amazon.nova-x": plain(
                    cache_read_input_token_cost="1e-07",
                    input_cost_per_token_batches="1e-07",
                    output_cost_per_token_batches="1e-07",
                ),
                "us.amazon.nova-x": plain(cache_read_input_token_cost="1e-07", cache_creation_input_token_cost="2e-07"),
                "amazon.titan": plain(cache_read_input_token_cost="1e-07"),
            }
        )
        self.assertEqual(
            [row.split(",", 7)[7] for row in rows],
            [
                "1000000,2000000,100000,200000,,,",
                "100000,100000,,,,,",
                "1000000,2000000,100000,0,,,",
                "1000000,2000000,100000,,,,",
            ],
        )

    def test_a_bare_id_at_the_global_rate_takes_the_us_rate_and_keeps_its_date(self):
        dear = plain("1.1e-06", "2.2e-06", input_cost_per_token_flex="6e-07", output_cost_per_token_flex="1.1e-06")
        rows = self.rows_of({"v.m": plain(deprecation_date='"2027-01-31"'), "global.v.m": plain(), "us.v.m": dear})
        self.assertEqual(
            rows,
            [
                "v.m,runtime,geo:us,,default,standard,,1100000,2200000,,,,,",
                "v.m,runtime,geo:us,,flex,standard,,600000,1100000,,,,,",
                "v.m,runtime,global,,default,standard,,1000000,2000000,,,,,",
                "v.m,runtime,in_region,,default,standard,,1100000,2200000,,,,,2027-01-31",
                "v.m,runtime,in_region,,flex,standard,,600000,1100000,,,,,2027-01-31",
            ],
        )

    def test_no_other_in_region_price_is_replaced(self):
        dear, cheap = plain("1.1e-06", "2.2e-06"), plain("9e-07", "2e-06")
        maps = [
            {"v.m": plain(), "us.v.m": dear},
            {"v.m": plain("1.05e-06"), "global.v.m": plain(), "us.v.m": dear},
            {"v.m": plain(), "global.v.m": plain(), "us.v.m": cheap},
            {"v.m": plain(), "global.v.m": plain(), "eu.v.m": dear},
            {"bedrock/us-east-1/v.m": plain(), "global.v.m": plain(), "us.v.m": dear},
        ]
        for entries in maps:
            with self.subTest(entries):
                _, out, _ = self.run_map(entries, "--accept-jumps")
                self.assertNotIn("replaced by", out)
                price = "1050000" if "1.05e-06" in text_of(entries) else "1000000"
                self.assertTrue(any(",in_region," in row and f",{price},2000000," in row for row in self.lines()))
                self.assertEqual("no us. rate" in out, "eu.v.m" in entries)

    def test_what_is_no_on_demand_price_of_a_bedrock_model_is_left_out(self):
        second = fields("bedrock", input_cost_per_second="0.1", output_cost_per_second="0.1")
        rows = self.rows_of(
            {
                "v.m": plain(),
                "512-x-512/50-steps/v.m": fields("bedrock", output_cost_per_image="0.01"),
                "bedrock/*/1-month-commitment/v.m": second,
                "bedrock/us-east-1/6-month-commitment/v.m": second,
                "bedrock/claude_platform/claude-x": plain(provider="bedrock"),
                "bedrock/guardrails": '{"litellm_provider": "bedrock", "guardrail_cost_per_unit": {}}',
                "claude-x-v1:0": plain(),
                "bedrock/us-gov-east-1/claude-x-v1:0": plain(),
                "v.unpriced": fields(),
            }
        )
        self.assertEqual(len(rows), 1)

    def test_of_two_keys_for_one_model_the_fuller_is_kept(self):
        rows = self.rows_of(
            {
                "bedrock/v.m": plain(),
                "v.m": plain(cache_read_input_token_cost="1e-07"),
                "v.n": plain(deprecation_date='"2027-01-31"'),
                "bedrock/invoke/v.n": plain(),
            }
        )
        self.assertEqual(
            rows,
            [
                "v.m,runtime,in_region,,default,standard,,1000000,2000000,100000,,,,",
                "v.n,runtime,in_region,,default,standard,,1000000,2000000,,,,,2027-01-31",
            ],
        )


class Refusals(InDirectory):
    def test_malformed_maps(self):
        cases = {
            "{": "not valid JSON",
            "[]": "not a price map",
            '{"v.m": NaN}': "not a number",
            '{"v.m": {"a": 1, "a": 2}}': "'a' occurs twice",
            "{}": "no price of a Bedrock model",
            '{"v.m": 3}': "no price of a Bedrock model",
            '{"bedrock/v.m": {"input_cost_per_token": 1}}': "without a litellm_provider",
        }
        for text, reason in cases.items():
            with self.subTest(text):
                self.refused(text, reason)
        self.map.write_bytes(b"\xff\xfe{}")
        self.assertEqual(self.run_file(self.map)[0], 2)

    def test_malformed_entries(self):
        cases = {
            plain("-1e-06"): "negative",
            plain('"1e-06"'): "not a number",
            plain("true"): "not a number",
            plain("1.000001"): "more than is believed",
            plain("1e999999999"): "more than is believed",
            plain("1." + "1" * 70 + "e-06"): "more digits",
            plain(input_cost_per_token_above_0k_tokens="1e-06"): "limit of zero",
            plain(input_cost_per_token_batch="1e-06", input_cost_per_token_batches="1e-06"): "twice",
            plain(input_cost_per_smell="1e-06"): "no known price field",
            plain(deprecation_date='"soon"'): "not a date",
            plain(deprecation_date='"2026-02-30"'): "not a date",
            fields(input_cost_per_token="1e-06"): "no output price",
            fields(output_cost_per_token="1e-06", input_cost_per_audio_token="1e-06"): "no input price",
            plain(cache_read_input_token_cost_flex="1e-06"): "no input and no output price",
            plain(input_cost_per_token_above_200k_tokens="1e-06"): "no output price",
            plain(
                input_cost_per_token_above_200k_tokens_flex="1e-06",
                output_cost_per_token_above_200k_tokens_flex="1e-06",
            ): "without one for short prompts",
            plain(provider="bedrock_moon"): "unknown provider",
        }
        for entry, reason in cases.items():
            with self.subTest(entry):
                self.refused(text_of({"v.m": entry}), "v.m", reason)

    def test_keys_of_no_known_kind(self):
        keys = {
            "bedrock/somewhere/v.m": "bedrock",
            "bedrock/us-east-1/weekly/v.m": "bedrock",
            "other/v.m": "bedrock",
            "nickname": "bedrock",
            "v.m, really": "bedrock",
            "v.m": "bedrock_mantle",
            "bedrock/mantle/v.m": "bedrock_mantle",
        }
        for key, provider in keys.items():
            with self.subTest(key):
                self.refused(text_of({key: plain(provider=provider)}), key, "no known kind of key")

    def test_a_new_scope_prefix_is_not_taken_for_a_vendor(self):
        self.refused(text_of({"v.m": plain(), "mx.v.m": plain()}), "mx.v.m", "looks like a scope prefix")
        self.assertEqual(len(self.rows_of({"v.m-5.4": plain(), "v.m": plain()})), 2)

    def test_two_keys_for_one_model_that_contradict_each_other(self):
        self.refused(text_of({"v.m": plain(), "bedrock/v.m": plain("3e-06")}), "are the same model", "input")

    def test_entries_and_fields_can_be_left_out_by_hand(self):
        entries = {"v.m": plain(input_cost_per_smell="1"), "bedrock/odd/v.m": plain()}
        status, _, err = self.run_map(entries, "--ignore-key", "bedrock/odd/*", "--ignore-field", "*_smell")
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(len(self.lines()), 1)


class Comparison(InDirectory):
    def test_differences_are_told_and_written(self):
        self.rows_of({"v.a": plain(), "v.b": plain(), "v.c": plain()})
        entries = {
            "v.b": plain(cache_read_input_token_cost="1e-07"),
            "v.c": plain(deprecation_date='"2027-01-31"'),
            "v.d": plain(),
        }
        status, out, _ = self.run_map(entries)
        self.assertEqual(status, 0)
        self.assertIn("- v.a runtime in_region default: input 1000000 output 2000000\n", out)
        self.assertIn("~ v.b runtime in_region default: cache_read none -> 100000\n", out)
        self.assertIn("~ v.c runtime in_region default: retire_after none -> 2027-01-31\n", out)
        self.assertIn("+ v.d runtime in_region default: input 1000000 output 2000000\n", out)
        self.assertIn("1 added, 1 removed, 2 changed", out)
        self.assertEqual(len(self.lines()), 3)

    def test_check_writes_nothing(self):
        self.assertEqual(self.run_map({"v.m": plain()}, "--check")[0], 1)
        self.assertFalse(self.snapshot.exists())
        self.rows_of({"v.m": plain()})
        written = self.snapshot.read_bytes()
        self.assertEqual(self.run_map({"v.m": plain("0.000001")}, "--check")[0], 0)
        self.assertEqual(self.run_map({"v.m": plain("1.1e-06")}, "--check")[0], 1)
        self.assertEqual(self.run_map({"v.m": plain("1")}, "--check")[0], 1)
        self.assertEqual(self.snapshot.read_bytes(), written)

    def test_a_jump_is_refused_up_down_and_from_or_to_free(self):
        cases = [("1e-06", "5e-06", 0), ("1e-06", "2e-07", 0), ("1e-06", "5.000001e-06", 2)]
        cases += [("1e-06", "1.99999e-07", 2), ("0", "1e-06", 2), ("1e-06", "0", 2), ("0", "0.0", 0)]
        for was, now, expected in cases:
            with self.subTest((was, now)):
                self.snapshot.unlink(missing_ok=True)
                self.rows_of({"v.m": plain(was)})
                written = self.snapshot.read_bytes()
                status, _, err = self.run_map({"v.m": plain(now)})
                self.assertEqual(status, expected, err)
                if expected:
                    self.assertIn("! v.m runtime in_region default: input ", err)
                    self.assertEqual(self.snapshot.read_bytes(), written)
                    self.assertEqual(self.run_map({"v.m": plain(now)}, "--accept-jumps")[0], 0)
                    self.assertNotEqual(self.snapshot.read_bytes(), written)

    def test_a_jump_of_another_unit_is_refused(self):
        self.rows_of({"v.m": fields(output_cost_per_image="0.01")})
        self.assertEqual(self.run_map({"v.m": fields(output_cost_per_image="0.06")})[0], 2)

    def test_a_damaged_snapshot_is_refused(self):
        self.rows_of({"v.m": plain(input_cost_per_audio_token="1e-06")})
        good = self.snapshot.read_text(encoding="utf-8")
        row = self.lines()[0] + "\n"
        cases = {
            "": "schema 1 is expected",
            good.replace("schema: 1", "schema: 2"): "schema 1 is expected",
            good[:-1]: "the last line has no end",
            good.replace("model,api", "api,model"): "the header line is expected",
            good + row: "line 8: a second row for v.m",
            good + "v.n\n": "1 cells",
            good.replace(",1000000,", ",1.5,"): "not a whole number",
            good.replace(",1000000,", ",01,"): "not a whole number",
            good.replace(",1000000,", ",1000000000001,"): "is more than",
            good.replace(",1000000,", ",,"): "no input price",
            good.replace("input_audio_token=1000000", "input_audio_token=1;input_audio_token=1"): "occurs twice",
            good.replace("input_audio_token=1000000", "input=1"): "occurs twice",
            good.replace("in_region", "geo:mars"): "unknown api or scope",
            good.replace("default", "standard"): "unknown tier",
            good.replace("\n", "\r\n"): "schema 1 is expected",
        }
        for text, reason in cases.items():
            with self.subTest(reason):
                self.snapshot.write_bytes(text.encode("utf-8"))
                status, _, err = self.run_map({"v.m": plain()})
                self.assertEqual(status, 2)
                self.assertIn(reason, err)


class Files(InDirectory):
    MEMBER = "litellm/" + script.MAP_NAME

    def test_a_wheel_names_its_version(self):
        wheel = self.directory / "litellm.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(self.MEMBER, text_of({"v.m": plain()}))
            archive.writestr("litellm-1.2.3.dist-info/METADATA", "")
        self.assertEqual(self.run_file(wheel)[0], 0)
        self.assertIn(f"# source: litellm 1.2.3 (PyPI) {script.MAP_NAME}\n", self.snapshot.read_text(encoding="utf-8"))

    def test_a_source_archive_names_its_version(self):
        sdist = self.directory / "litellm.tar.gz"
        data = text_of({"v.m": plain()}).encode("utf-8")
        with tarfile.open(sdist, "w:gz") as archive:
            member = tarfile.TarInfo("litellm-1.2.3/" + self.MEMBER)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        self.assertEqual(self.run_file(sdist)[0], 0)
        self.assertIn("# source: litellm 1.2.3 (PyPI) ", self.snapshot.read_text(encoding="utf-8"))

    def test_an_archive_without_a_map_or_version_is_refused(self):
        wheel = self.directory / "litellm.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("other", "")
        self.assertIn("holds 0 files", self.run_file(wheel)[2])
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(self.MEMBER, text_of({"v.m": plain()}))
        self.assertIn("pass --source", self.run_file(wheel)[2])
        self.assertEqual(self.run_file(wheel, "--source", "here")[0], 0)

    def test_a_damaged_archive_is_refused(self):
        wheel = self.directory / "litellm.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(self.MEMBER, text_of({"v.m": plain()}))
        wheel.write_bytes(wheel.read_bytes().replace(b"1e-06", b"9e-06", 1))
        status, _, err = self.run_file(wheel, "--source", "here")
        self.assertEqual(status, 2)
        self.assertIn("cannot read", err)

    def test_files_that_cannot_be_used(self):
        self.assertIn("cannot read", self.run_file(self.directory / "absent")[2])
        self.assertIn("cannot read", self.run_file(self.directory)[2])
        self.map.write_text(text_of({"v.m": plain()}), encoding="utf-8")
        self.assertIn("pass --source", self.run_file(self.map)[2])
        self.assertIn("one line", self.run_file(self.map, "--source", "a\nb")[2])
        self.assertIn("not a date", self.run_file(self.map, "--source", "a", "--retrieved", "today")[2])
        self.snapshot = self.directory / "absent" / "snapshot.csv"
        self.assertIn("cannot write", self.run_file(self.map, "--source", "a")[2])

    def test_the_command_has_help(self):
        done = subprocess.run(
            [sys.executable, str(SCRIPT), "--help"], stdout=subprocess.PIPE, check=True, universal_newlines=True
        )
        for option in ("--check", "--accept-jumps", "--source", "--retrieved", "--output"):
            self.assertIn(option, done.stdout)


class Embedded(unittest.TestCase):
    def test_the_embedded_snapshot_is_one_that_the_script_would_write(self):
        data = script.DEFAULT_OUTPUT.read_bytes().decode("utf-8")
        rows = script.read_snapshot(data, "the embedded snapshot")
        header = dict(line[2:].split(": ", 1) for line in data.split("\n")[:5])
        self.assertEqual(script.render(rows, header["source"], header["retrieved"]), data)
        bases = {(k.model, k.scope) for k in rows if k[1] == "runtime" and k[3:] == ("", "default", "standard", 0)}
        for scope in ("in_region", "global", "geo:us", "geo:eu"):
            self.assertIn(("anthropic.claude-sonnet-4-6", scope), bases)


if __name__ == "__main__":
    unittest.main()
