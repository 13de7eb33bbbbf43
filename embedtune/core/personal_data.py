"""Finds personal data in a text with Presidio. Nothing is downloaded and no host is asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embedtune.core.config.masking import MaskSettings
from embedtune.core.errors import ConfigError
from embedtune.core.placeholders import placeholders

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from spacy.language import Language

# These rules of Presidio ask the internet for the list of public domains, and pass over internal addresses.
ASKING = ("EmailRecognizer", "UrlRecognizer")
EMAIL = r"[\w!#$%&'*+/=?^`{|}~.-]+@[\w-]+(?:\.[\w-]+)+"
EMAIL_SCORE = 0.9


@dataclass(frozen=True, order=True)
class Span:
    """A place in a text, from character `start` up to `end`, and its kind of personal data in Presidio's words."""

    start: int
    end: int
    entity: str


@dataclass(frozen=True)
class Finder:
    """Presidio with the languages and kinds of the settings."""

    engine: "AnalyzerEngine"
    settings: MaskSettings
    entities: dict[str, list[str]]

    @classmethod
    def of(cls, settings: MaskSettings, name: str = "generate.mask") -> "Finder":
        """Load the models and rules.

        Args:
            settings: What to find.
            name: Where the settings are from, for the errors.

        Raises:
            ConfigError: Presidio or a spaCy model is not installed, or a kind of personal data is unknown.
        """
        try:
            from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
            from presidio_analyzer.nlp_engine import SpacyNlpEngine
        except ImportError as error:
            raise ConfigError(
                f"{name} needs Presidio, which is not installed", fix="pip install 'embedtune[privacy]'"
            ) from error
        languages = sorted(settings.models)
        nlp = SpacyNlpEngine(models=[{"lang_code": one, "model_name": one} for one in languages])
        # Set here, not by load(): that would download a model that is missing.
        models = {language: _spacy_model(language, settings.models[language], name) for language in languages}
        nlp.nlp = models  # type: ignore[assignment]  # Presidio annotates it as None
        registry = RecognizerRegistry(supported_languages=languages)
        registry.load_predefined_recognizers(languages=languages, nlp_engine=nlp)
        _replace_recognizers(registry, languages)
        engine = AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=languages)
        return cls(engine, settings, _supported(engine, settings, name))

    def spans(self, text: str) -> list[Span]:
        """Return the places to mask, in order; of two that overlap, the longer one is kept."""
        found = {
            Span(result.start, result.end, result.entity_type)
            for language, entities in self.entities.items()
            for result in self.engine.analyze(
                text,
                language=language,
                entities=entities,
                score_threshold=self.settings.min_score,
                allow_list=self.settings.keep,
            )
        }
        chosen: list[Span] = []
        for span in sorted(found, key=lambda span: (span.start - span.end, span)):
            if all(span.end <= other.start or other.end <= span.start for other in chosen):
                chosen.append(span)
        return sorted(chosen)


def _spacy_model(language: str, model: str | None, name: str) -> "Language":
    import spacy

    if model is None:
        return _blank(language, name)
    if not spacy.util.is_package(model) and not Path(model).is_dir():
        raise ConfigError(
            f"the spaCy model of {name}.models.{language} is not installed",
            got=model,
            expected="the name of an installed package, or a directory",
            fix=f"python -m spacy download {model}",
        )
    return spacy.load(model)


def _blank(language: str, name: str) -> "Language":
    import spacy

    try:
        return spacy.blank(language)
    except ImportError as error:
        raise ConfigError(
            f"{name}.models names a language that spaCy does not know",
            got=language,
            expected="a two-letter code such as en or de",
        ) from error


def _replace_recognizers(registry: "RecognizerRegistry", languages: list[str]) -> None:
    from presidio_analyzer import Pattern, PatternRecognizer
    from presidio_analyzer.predefined_recognizers import CreditCardRecognizer

    for name in ASKING:
        registry.remove_recognizer(name)
    for language in languages:
        pattern = Pattern("e-mail", EMAIL, EMAIL_SCORE)
        registry.add_recognizer(
            PatternRecognizer("EMAIL_ADDRESS", patterns=[pattern], supported_language=language)
        )
        # Presidio has this rule in a few languages only; card numbers look the same in all.
        registry.add_recognizer(CreditCardRecognizer(supported_language=language))


def _supported(engine: "AnalyzerEngine", settings: MaskSettings, name: str) -> dict[str, list[str]]:
    """Return the configured kinds that each language has a rule for."""
    known = {language: set(engine.get_supported_entities(language)) for language in sorted(settings.models)}
    unknown = sorted(set(settings.entities) - set().union(*known.values()))
    if unknown:
        raise ConfigError(
            f"{name}.entities has kinds of personal data that Presidio does not know in these languages",
            got=", ".join(unknown),
            expected=", ".join(sorted(set().union(*known.values()))),
        )
    found = {language: sorted(set(settings.entities) & kinds) for language, kinds in known.items()}
    return {language: kinds for language, kinds in found.items() if kinds}


def mask_text(text: str, spans: Sequence[Span]) -> str:
    """Return a text with a placeholder for each value, the same one for a value that is repeated.

    Args:
        text: The text.
        spans: Its places to mask, in order and without overlap.
    """
    free: dict[str, Iterator[str]] = {}
    known: dict[tuple[str, str], str] = {}
    parts, end = [], 0
    for span in spans:
        value = (span.entity, text[span.start : span.end].casefold())
        if value not in known:
            known[value] = next(free.setdefault(span.entity, placeholders(span.entity, text)))
        parts += [text[end : span.start], known[value]]
        end = span.end
    return "".join([*parts, text[end:]])
