"""How a data set is synthesised with espeak-ng instead of downloaded."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from kwsbench.manifest.fields import Label, Table

VoiceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+(\+[A-Za-z0-9_-]+)?$")]
"""A voice of espeak-ng: a language or accent, and where wanted a variant, as in `en-us+f3`."""


class Voices(Table):
    """The synthetic speakers of one language, as espeak-ng names them; each is in one split only."""

    train: tuple[VoiceName, ...] = Field(min_length=1)
    validation: tuple[VoiceName, ...] = Field(min_length=1)
    test: tuple[VoiceName, ...] = Field(min_length=1)


class SpokenWord(Table):
    """A word to synthesise: the label it becomes, the text that is spoken, and the language to speak it in."""

    label: Label
    text: str = Field(pattern=r"^[^\x00-\x1f]*\w[^\x00-\x1f]*$")
    language: str


class Synthesis(Table):
    """How a data set is synthesised with espeak-ng instead of downloaded.

    Ranges include both ends; those in dB are in steps of 0.1 dB.

    Attributes:
        words: What is spoken.
        voices: Language to its voices, split by split.
        takes_per_word: How often each voice says each word, each time in another way.
        background_takes_per_word: The same for words of a background label.
        words_per_minute: Range of the speaking rate.
        pitch: Range of espeak-ng's pitch, 0 to 100.
        snr_db: Range of the signal-to-noise ratio: mean power of the word by mean power of the noise.
        shift_s: How far the middle of a word may be from the middle of its clip.
        silence_label: Label of clips with noise alone.
        silence_takes: How many of them each voice's share of the data holds.
        level_dbfs: Range of the peak level of clips with a word, in dB re full scale.
        silence_level_dbfs: The same for clips with noise alone.
        espeak_version: The version of espeak-ng that the clips are to come from; any where absent.
    """

    words: tuple[SpokenWord, ...] = Field(min_length=1)
    voices: dict[str, Voices]
    takes_per_word: int = Field(gt=0, le=100)
    background_takes_per_word: int = Field(gt=0, le=100)
    words_per_minute: tuple[Annotated[int, Field(ge=80)], Annotated[int, Field(le=450)]]
    pitch: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(le=100)]]
    snr_db: tuple[float, float]
    silence_label: Label
    silence_takes: int = Field(ge=0, le=100)
    shift_s: float = Field(default=0.1, ge=0)
    level_dbfs: tuple[float, Annotated[float, Field(le=0)]] = (-20.0, -1.0)
    silence_level_dbfs: tuple[float, Annotated[float, Field(le=0)]] = (-70.0, -6.0)
    espeak_version: str | None = None

    @model_validator(mode="after")
    def _ranges_go_up(self) -> Self:
        for name in ("words_per_minute", "pitch", "snr_db", "level_dbfs", "silence_level_dbfs"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"the range {name} begins at {low} and ends below it, at {high}")
        return self

    @model_validator(mode="after")
    def _languages_have_words_and_voices(self) -> Self:
        spoken = {word.language for word in self.words}
        for missing, languages in (("voices", spoken - set(self.voices)), ("words", set(self.voices) - spoken)):
            if languages:
                raise ValueError(f"no {missing} for the language {', '.join(sorted(languages))}")
        return self

    @model_validator(mode="after")
    def _each_word_and_voice_once(self) -> Self:
        words = [f"{word.text} ({word.language})" for word in self.words]
        twice = sorted({word for word in words if words.count(word) > 1})
        if twice:
            raise ValueError(f"the word {', '.join(twice)} is there twice")
        voices = [voice for part in self.voices.values() for voice in (*part.train, *part.validation, *part.test)]
        twice = sorted({voice for voice in voices if voices.count(voice) > 1})
        if twice:
            raise ValueError(f"overlapping splits: the voice {', '.join(twice)} is in two of them, or in two languages")
        return self
