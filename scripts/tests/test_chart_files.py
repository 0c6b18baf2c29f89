"""What scripts/chart-files writes into the chart.

  python3 -m unittest discover --start-directory scripts/tests
"""

import unittest

from loading import load_script

chart_files = load_script("chart-files")

VALUES = """\
# About the file.

# -- Where data is kept: `a|b`.
mode: a
image:
  # -- Tag.
  # Empty: that of the chart.
  tag: ""
# -- Resources.
resources:
  limits:
    memory: 1Gi
# -- Spread.
spread:
  - maxSkew: 1
    topologyKey: zone
# Not a description.
# -- Unset.
replicas: null
"""


class Values(unittest.TestCase):
    def rows(self) -> list[str]:
        return [value.row() for value in chart_files.described(chart_files.values(VALUES))]

    def test_a_described_value_is_one_line_with_its_default(self) -> None:
        self.assertEqual(
            self.rows(),
            [
                "| `mode` | `a` | Where data is kept: `a\\|b`. |\n",
                '| `image.tag` | `""` | Tag. Empty: that of the chart. |\n',
                "| `resources` | see values.yaml | Resources. |\n",
                "| `spread` | see values.yaml | Spread. |\n",
                "| `replicas` | unset | Unset. |\n",
            ],
        )

    def test_a_value_without_a_description_is_refused(self) -> None:
        for text in ("mode: a\n", "image:\n  # -- Tag.\n  tag: a\n  digest: b\n", "# Only a remark.\nmode: a\n"):
            with self.assertRaises(chart_files.Broken, msg=text):
                chart_files.described(chart_files.values(text))


class Table(unittest.TestCase):
    def test_only_what_is_between_the_marks_changes(self) -> None:
        readme = f"before\n{chart_files.BEGIN}old\n{chart_files.END}after\n"
        value = chart_files.Value(("mode",), "a", "Mode.")
        fresh = chart_files.with_table(readme, [value])
        self.assertTrue(fresh.startswith(f"before\n{chart_files.BEGIN}"))
        self.assertTrue(fresh.endswith(f"| `mode` | `a` | Mode. |\n\n{chart_files.END}after\n"))
        self.assertNotIn("old", fresh)
        self.assertEqual(chart_files.with_table(fresh, [value]), fresh)

    def test_a_readme_without_marks_is_refused(self) -> None:
        with self.assertRaises(chart_files.Broken):
            chart_files.with_table("nothing\n", [])


if __name__ == "__main__":
    unittest.main()
