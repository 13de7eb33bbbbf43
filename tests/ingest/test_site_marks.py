"""Marks of site generators: readers of the site never see them, so the passages must not contain them."""

import pytest

from embedtune.ingest.blocks import Block
from embedtune.ingest.readers.markdown import read


def texts(text: str) -> list[str]:
    return [block.text for block in read(text.encode())]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Hugo
        ('A {{< glossary_tooltip text="Pod" term_id="pod" >}} runs.', ["A Pod runs."]),
        ('A {{< glossary_tooltip term_id="pod" >}} runs.', ["A pod runs."]),
        ('{{< glossary_definition term_id="pod" length="short" >}}', []),
        (
            "Version v{{< skew currentVersion >}}.",
            [
                "Version v….",
            ],
        ),
        ('See [the guide]({{< ref "guide.md#a" >}}) now.', ["See the guide now."]),
        ('## {{% heading "prerequisites" %}}', ["prerequisites"]),
        ("{{< note >}}\nMind the *gap*.\n{{< /note >}}", ["Note:\nMind the gap."]),
        ('{{% alert title="Hot" color="warning" %}}Wait.{{% /alert %}}', ["Warning: Hot Wait."]),
        ('{{% tab name="Linux" %}}\nRun it.\n{{% /tab %}}', ["Linux", "Run it."]),
        ('{{< figure src="a.png" title="The kiln" >}}', ["The kiln"]),
        ("{{< highlight go >}}\nfunc main() {}\n{{< /highlight >}}", ["func main() {}\n"]),
        ("{{< comment >}}draft{{< /comment >}}Text.", ["Text."]),
        ("Write {{</* note */>}} above.", ["Write {{< note >}} above."]),
        # MkDocs
        ('!!! warning "Hot"\n    Oil *burns*.\n\n    Run.\n\nOn.', ["Warning: Hot", "Oil burns.", "Run.", "On."]),
        ("??? tip\n    - a\n      - b", ["Tip:", "- a", "- b"]),
        ('=== "macOS"\n\n    brew it\n\n=== "Linux"\n\n    apt it', ["macOS", "brew it", "Linux", "apt it"]),
        ("!!! note\n\n    ```sh\n    ls\n    ```", ["Note:", "ls\n"]),
        ("Before.\n\n::: pkg.mod.Class\n    options:\n      x: y\n\nAfter.", ["Before.", "After."]),
        ('[TOC]\n\n--8<-- "inc.md"\n\nText :material-check: here.', ["Text  here."]),
        ("[Go](x){ .md-button }\n\nText. {: .big }", ["Go", "Text."]),
        # Docusaurus
        ("import Tabs from '@theme/Tabs';\nimport {\n  A,\n} from \"x\";\n\nText.", ["Text."]),
        (
            '<Tabs id="os">\n<TabItem value="l" label="Linux">\n\nbrew it\n\n</TabItem>\n</Tabs>',
            ["Linux", "brew it"],
        ),
        ("<Card icon={{a: 1}} />\n\n{/* gone */}\n\nText.", ["Text."]),
        (":::note\nText.\n:::", ["Note:\nText."]),
        # Jekyll, GitBook
        ('{% hint style="info" %}\nText.\n{% endhint %}', ["Info:\nText."]),
        ("{% highlight ruby %}\nputs 1\n{% endhighlight %}", ["puts 1\n"]),
        ("{% include head.html %}\nText.", ["Text."]),
    ],
)
def test_a_mark_gives_what_the_site_shows(text, expected):
    assert texts(text) == expected


def test_code_is_left_as_it_is():
    code = "a: {{< keep >}} {{ .Values.x }}\nimport x from 'y'\n!!! note\n    x\n"
    assert read(f"```yaml\n{code}```".encode()) == [Block("code", code)]


@pytest.mark.parametrize(
    "text",
    [
        "Use {{ value }} and {% mytag %} in templates.",
        "Wow!!! That is great???",
        "a === b means equal.",
        "import duties from 2026 are higher",
        "Call f(x) {as before} twice.",
        "At 10:30:00 it ended.",
    ],
)
def test_what_only_looks_like_a_mark_is_text(text):
    assert texts(text) == [text]


def test_tables_in_upper_case_html_are_not_taken_for_components():
    assert read(b"<TABLE><TR><TD>a</TD><TD>b</TD></TR></TABLE>") == [Block("table", "a | b")]


def test_marks_that_are_never_closed_end_nothing():
    assert "After." in texts("{{< highlight go >}}\nx\n\nAfter.")
    assert texts("{{< note\n\nAfter.")[-1] == "After."
