"""Marks of site generators: readers of the site never see them, so the passages must not contain them."""

import pytest

from embedtune.ingest.blocks import Block
from embedtune.ingest.readers.markdown import read
from embedtune.ingest.readers.site_marks import without_site_marks


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
        # Obsidian
        (
            "See [[Valve V12|the valve]], [[Boiler]] and [[Boiler#Start]].",
            ["See the valve, Boiler and Boiler > Start."],
        ),
        ("Like this: ![[plan.png|300]]", ["Like this:"]),
        ("| a | b |\n|---|---|\n| [[Kiln\\|the kiln]] | 3 |", ["a | b\nthe kiln | 3"]),
        ("> [!warning]- Hot\n> Wait.", ["Warning: Hot\nWait."]),
        ("A matrix [[1, 2], [3, 4]], a list x[[i]].", ["A matrix [[1, 2], [3, 4]], a list x[[i]]."]),
        ("A test [[ -f x ]] or [[Kiln]](k.md).", ["A test [[ -f x ]] or [Kiln]."]),
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
        "you can\nexport default settings before the upgrade.",
        "import is a word. All that follows counts.\nRead it from 'x'",
        "!!! never touch the kiln",
        "Read {/* this, which has no end",
        '{{< note "no end >}} and more text.',
    ],
)
def test_what_only_looks_like_a_mark_is_text(text):
    assert texts(text) == [text]


def test_tables_in_upper_case_html_are_not_taken_for_components():
    assert read(b"<TABLE><TR><TD>a</TD><TD>b</TD></TR></TABLE>") == [Block("table", "a | b")]


def test_marks_that_are_never_closed_end_nothing():
    assert "After." in texts("{{< highlight go >}}\nx\n\nAfter.")
    assert texts("{{< note\n\nAfter.")[-1] == "After."


@pytest.mark.parametrize(
    "code",
    ["{.metadata.name}", "{% if %}", "{{< note >}}", ":material-check:", "<TabItem label='a'>", "{/* c */}"],
)
def test_a_mark_in_a_code_span_is_what_the_text_is_about(code):
    assert texts(f"Write `{code}` here, and ``{code} ` x``.") == [f"Write {code} here, and {code} ` x."]


def test_a_value_in_a_code_span_is_only_known_to_the_site():
    assert texts('Install `kiln-{{< param "version" >}}.deb`.') == ["Install kiln-….deb."]


def test_in_fenced_code_too_values_are_only_known_to_the_site_and_escaped_marks_are_shown():
    code = 'VERSION={{< param "git_version" >}} {{% kiln-version %}} {{</* note */>}}\n'
    assert read(f"```sh\n{code}```".encode()) == [Block("code", "VERSION=… … {{< note >}}\n")]


def test_attributes_of_a_code_span_are_no_text():
    assert texts("Call `run`{.python} now.") == ["Call run now."]


def test_a_title_without_quotation_marks_is_kept_and_classes_are_not():
    assert texts("!!! danger high voltage\n    Wait.") == ["Danger: high voltage", "Wait."]
    assert texts("!!! note inline end\n    Wait.") == ["Note:", "Wait."]


@pytest.mark.parametrize(
    "mark",
    [
        "{{< a ", '{{< a "', "{{< comment ", "{{< highlight go ", "{% highlight go ", "](", "]({{<", "{{</*",
        "import a\n",
        "{/*", "<TabItem ", '<TabItem label="', "!!! note\n", "`", "`` ", ":material-",
    ],
)  # fmt: skip
def test_a_file_full_of_marks_without_an_end_keeps_its_last_words(mark):
    # Before the patterns ended at the next mark, each of these took minutes.
    assert without_site_marks(mark * 10_000 + "\n\nLast words.").endswith("Last words.")


@pytest.mark.parametrize("text", ["!!! " + " " * 50_000 + ".", "{" + " " * 50_000 + "x", "<A" + "a" * 50_000])
def test_a_long_line_that_is_no_mark_stays(text):
    assert without_site_marks(text) == text


def test_admonitions_inside_one_another_without_end_are_kept():
    text = "\n".join("    " * depth + "!!! note" for depth in range(300)) + "\n" + "    " * 300 + "Last words."
    assert "Last words." in without_site_marks(text)
