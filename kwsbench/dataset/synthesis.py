"""Synthesises a data set from its manifest: every voice says every word, over noise, the same bytes every time.

`plan` lists the clips, `synthesise` writes them. Speech comes from one fresh espeak-ng process per voice that says
its words in the order of the plan, everything else from hashes (see `kwsbench.dataset.synthetic_audio`), so neither
the number of workers nor the order in which voices finish changes a byte.
"""

from __future__ import annotations

import os
import wave
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwsbench.dataset.espeak import Utterance
from kwsbench.dataset.speech import Installation, Speech, installation
from kwsbench.dataset.synthetic_audio import NOISE_KINDS, Draws, Samples, at_level, mix, noise, resample, trim
from kwsbench.dataset.whole_folder import replacing_folder
from kwsbench.errors import InputError, Problem
from kwsbench.manifest import SPLITS, Label, Manifest, Split, SpokenWord, Synthesis, Voices
from kwsbench.progress import progress

_PITCH_RANGE = (20, 80)


@dataclass(frozen=True)
class PlannedClip:
    """One clip to synthesise.

    Attributes:
        path: `SPLIT/LABEL/VOICE-WORD-TAKE.wav`, where WORD is the index of the word in the manifest, or `silence`.
        label: Its label.
        split: Its split.
        voice: The voice that says it, or whose share of the data it belongs to.
        word: What is said; None for noise alone.
        take: Number of the clip among those of the same voice and word.
    """

    path: str
    label: Label
    split: Split
    voice: str
    word: SpokenWord | None
    take: int

    @property
    def draws(self) -> Draws:
        """The draws of this clip, by voice, text (empty for noise alone) and take."""
        return Draws(f"{self.voice}:{self.word.text if self.word else ''}:{self.take}")


def plan(manifest: Manifest) -> tuple[PlannedClip, ...]:
    """Lists every clip of a synthesised data set, voice by voice, in the order in which each voice speaks.

    Raises:
        InputError: The manifest has no [synthesis], or that names labels which the manifest does not have.
    """
    synthesis = _synthesis_of(manifest)
    return tuple(
        clip
        for language, voices in synthesis.voices.items()
        for split in SPLITS
        for voice in voices_of(voices, split)
        for clip in (*_spoken(manifest, language, split, voice), *_silent(synthesis, split, voice))
    )


def voices_of(voices: Voices, split: Split) -> tuple[str, ...]:
    """Returns the voices of one split."""
    return {"train": voices.train, "validation": voices.validation, "test": voices.test}[split]


def synthesise(manifest: Manifest, audio_root: Path, *, workers: int | None = None) -> int:
    """Writes the clips of a synthesised data set: mono 16-bit WAVs, all of the manifest's clip length.

    They are written to a temporary folder that becomes `audio_root` at the end, so that a failure, Ctrl-C or a kill
    leaves an earlier `audio_root` as it was.

    Args:
        manifest: A manifest with [synthesis].
        audio_root: The folder to write; one that exists is replaced when it holds nothing but folders of splits.
        workers: How many voices speak at once; as many as there are processors where None.

    Returns:
        The number of clips.

    Raises:
        InputError: espeak-ng is missing, of another version than the manifest asks for, or lacks a voice; the
            manifest synthesises nothing; the folder holds something else or cannot be written.
    """
    clips = plan(manifest)
    if workers is not None and workers < 1:
        raise InputError(f"{workers} workers can do nothing; give at least 1")
    espeak = installation()
    espeak.check_voices(dict.fromkeys(clip.voice for clip in clips))
    _refuse_other_contents(audio_root)
    with (
        replacing_folder(audio_root) as folder,
        progress(f"synthesising {manifest.name}", len(clips), "clips") as advance,
    ):
        for parent in {(folder / clip.path).parent for clip in clips}:
            parent.mkdir(parents=True)
        by_voice = [list(group) for _, group in groupby(clips, key=lambda clip: clip.voice)]
        pool = ThreadPoolExecutor(workers or os.cpu_count())
        try:
            tasks = [pool.submit(_write_voice, manifest, part, espeak, folder) for part in by_voice]
            for task in as_completed(tasks):
                advance(task.result())
        finally:
            pool.shutdown(cancel_futures=True)
    return len(clips)


def _synthesis_of(manifest: Manifest) -> Synthesis:
    if manifest.synthesis is None:
        raise InputError(f"the manifest {manifest.name} has no [synthesis]: its audio is downloaded, not synthesised")
    used = dict.fromkeys([manifest.synthesis.silence_label, *(word.label for word in manifest.synthesis.words)])
    problems = [
        Problem("[synthesis]", f"the label {label!r}", f"one of {', '.join(manifest.labels)}")
        for label in used
        if label not in manifest.labels
    ]
    if problems:
        raise InputError(f"the manifest {manifest.name} cannot be synthesised", problems)
    return manifest.synthesis


def _spoken(manifest: Manifest, language: str, split: Split, voice: str) -> Iterator[PlannedClip]:
    synthesis = _synthesis_of(manifest)
    for index, word in enumerate(synthesis.words):
        if word.language == language:
            background = word.label in manifest.background_labels
            takes = synthesis.background_takes_per_word if background else synthesis.takes_per_word
            for take in range(takes):
                path = f"{split}/{word.label}/{voice}-{index:03d}-{take:02d}.wav"
                yield PlannedClip(path, word.label, split, voice, word, take)


def _silent(synthesis: Synthesis, split: Split, voice: str) -> Iterator[PlannedClip]:
    label = synthesis.silence_label
    for take in range(synthesis.silence_takes):
        yield PlannedClip(f"{split}/{label}/{voice}-silence-{take:02d}.wav", label, split, voice, None, take)


def _refuse_other_contents(audio_root: Path) -> None:
    if not audio_root.exists():
        return
    if not audio_root.is_dir():
        raise InputError(f"cannot write the folder {audio_root}: it is a file")
    others = sorted(path.name for path in audio_root.iterdir() if path.name not in SPLITS)
    if others:
        raise InputError(
            f"the folder {audio_root} is not replaced, because it holds more than a synthesised data set:"
            f" {', '.join(others[:5])}; name another folder, or a new one"
        )


def _write_voice(manifest: Manifest, clips: Sequence[PlannedClip], espeak: Installation, folder: Path) -> int:
    """Synthesises all clips of one voice; returns how many."""
    spoken = {clip.path: word for clip, word in _speak(manifest, clips, espeak)}
    background = [spoken[clip.path] for clip in clips if clip.word and clip.label in manifest.background_labels]
    crowd = background or list(spoken.values())
    for clip in clips:
        _write_wav(folder / clip.path, _render(manifest, clip, spoken.get(clip.path), crowd), manifest.sample_rate_hz)
    return len(clips)


def _speak(
    manifest: Manifest, clips: Sequence[PlannedClip], espeak: Installation
) -> Iterator[tuple[PlannedClip, Samples]]:
    """Gives the trimmed word of each spoken clip of one voice."""
    synthesis = _synthesis_of(manifest)
    texts = [(clip, clip.word.text) for clip in clips if clip.word]
    speech = espeak.speak(clips[0].voice, [_utterance(synthesis, clip, text) for clip, text in texts])
    _check_version(synthesis, speech)
    for (clip, text), pcm in zip(texts, speech.pcm, strict=True):
        word = trim(resample(np.frombuffer(pcm, np.int16), speech.sample_rate_hz, manifest.sample_rate_hz))
        if not len(word):
            raise InputError(f"the espeak-ng voice {clip.voice!r} makes no sound for the word {text!r}")
        yield clip, word


def _utterance(synthesis: Synthesis, clip: PlannedClip, text: str) -> Utterance:
    return Utterance(
        text,
        clip.draws.whole("words per minute", *synthesis.words_per_minute),
        clip.draws.whole("pitch", *synthesis.pitch),
        clip.draws.whole("pitch range", *_PITCH_RANGE),
    )


def _check_version(synthesis: Synthesis, speech: Speech) -> None:
    if synthesis.espeak_version not in (None, speech.version):
        raise InputError(
            f"the manifest is for espeak-ng {synthesis.espeak_version}, and {speech.version} is installed, which would"
            " give other audio: install the version of espeakng-loader that brings it"
        )


def _render(manifest: Manifest, clip: PlannedClip, word: Samples | None, crowd: Sequence[Samples]) -> NDArray[np.int16]:
    """Makes the samples of a clip: the word at some place in noise, or noise alone."""
    synthesis, draws, num_samples = _synthesis_of(manifest), clip.draws, manifest.clip_samples
    kind = NOISE_KINDS[draws.whole("noise kind", 0, len(NOISE_KINDS) - 1)]
    background = noise(kind, draws, num_samples, crowd)
    if word is None:
        return at_level(background, draws.tenths("level", synthesis.silence_level_dbfs))
    mixed = mix(word, background, _offset(manifest, draws, len(word)), draws.tenths("snr", synthesis.snr_db))
    return at_level(mixed, draws.tenths("level", synthesis.level_dbfs))


def _offset(manifest: Manifest, draws: Draws, word_samples: int) -> int:
    """Draws where a word begins: its middle near the middle of the clip, all of it inside."""
    room = max(0, manifest.clip_samples - word_samples)
    shift = min(round(_synthesis_of(manifest).shift_s * manifest.sample_rate_hz), room // 2)
    return room // 2 + draws.whole("shift", -shift, shift)


def _write_wav(path: Path, samples: NDArray[np.int16], sample_rate_hz: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate_hz)
        file.writeframes(samples.tobytes())
