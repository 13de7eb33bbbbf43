"""The report of a run and the completed model card: rendered from artifacts, never an artifact itself."""

from embedtune.core.report.card import complete_model_card
from embedtune.core.report.figures import MetricRow, to_table, verdict_sentences
from embedtune.core.report.page import render_report

__all__ = ["MetricRow", "complete_model_card", "render_report", "to_table", "verdict_sentences"]
