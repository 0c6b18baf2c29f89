"""What of the configuration's schema gets into the chart's.

  python3 -m unittest discover --start-directory scripts/tests
"""

import unittest

from loading import load_script

chart_schema = load_script("chart-schema")


def leaf() -> dict:
    return {"type": "string"}


def group(**properties: dict) -> dict:
    return {"type": ["object", "null"], "additionalProperties": False, "properties": properties}


def schema() -> dict:
    """A small schema of the form that the service prints."""
    secret = {"key": leaf(), "key_file": leaf(), "key_aws_secret_id": leaf()}
    label = {"^[a-z]$": group(bedrock_model_id=leaf())}
    labels = {"type": ["object", "null"], "additionalProperties": False, "patternProperties": label}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Configuration",
        **group(
            data_dir=leaf(),
            server=group(listen=leaf(), read_timeout_secs={"type": "integer"}),
            metrics=group(listen=leaf(), **secret),
            labels=labels,
        ),
    }


class Definition(unittest.TestCase):
    def test_nothing_is_said_of_secrets_and_what_the_chart_sets(self) -> None:
        properties = chart_schema.definition(schema())["properties"]
        metrics = properties["metrics"]["properties"]
        refused = {"description": chart_schema.REFUSED}
        for key in (properties["data_dir"], properties["server"]["properties"]["listen"], metrics["listen"], metrics["key"]):
            self.assertEqual(key, refused)
        self.assertEqual(properties["server"]["properties"]["read_timeout_secs"], {"type": "integer"})
        self.assertEqual([metrics["key_file"], metrics["key_aws_secret_id"]], [leaf(), leaf()])
        self.assertEqual(properties["labels"], schema()["properties"]["labels"])

    def test_it_is_an_object_without_a_schema_of_its_own(self) -> None:
        definition = chart_schema.definition(schema())
        self.assertEqual(definition["type"], "object")
        self.assertFalse({"$schema", "title"} & definition.keys())
        self.assertFalse(definition["additionalProperties"])

    def test_another_draft_is_refused(self) -> None:
        other = {**schema(), "$schema": "https://json-schema.org/draft/2020-12/schema"}
        with self.assertRaisesRegex(chart_schema.Broken, "draft-07"):
            chart_schema.definition(other)

    def test_a_key_that_is_gone_is_noticed(self) -> None:
        without = schema()
        del without["properties"]["data_dir"]
        with self.assertRaisesRegex(chart_schema.Broken, "data_dir"):
            chart_schema.definition(without)
        without = schema()
        del without["properties"]["metrics"]["properties"]["key_file"]
        with self.assertRaisesRegex(chart_schema.Broken, "key_file"):
            chart_schema.definition(without)


class Placed(unittest.TestCase):
    CHART = {
        "properties": {"mode": leaf(), "config": {"$ref": "#/definitions/config"}},
        "definitions": {"a": leaf(), "config": {"type": "object"}, "z": leaf()},
    }

    def test_only_the_definition_changes(self) -> None:
        placed = chart_schema.placed(self.CHART, {"type": "object", "properties": {}})
        self.assertEqual(list(placed["definitions"]), ["a", "config", "z"])
        self.assertEqual(placed["definitions"]["config"], {"type": "object", "properties": {}})
        self.assertEqual(placed["properties"], self.CHART["properties"])

    def test_a_chart_that_does_not_use_it_is_refused(self) -> None:
        for chart in [{**self.CHART, "definitions": {}}, {**self.CHART, "properties": {"config": {}}}]:
            with self.assertRaises(chart_schema.Broken):
                chart_schema.placed(chart, {})


if __name__ == "__main__":
    unittest.main()
