"""Embeddings are computed once a clip, kept whole, and made again where they are damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.conftest import WriteWav
from training.data.clips import Clip
from training.data.voices.embeddings import ENOUGH, clip_embeddings, enough_of_each
from training.data.waveforms.array_store import ArrayStore
from training.data.waveforms.clip_info import ClipInfo
from training.data.waveforms.waveform_cache import WaveformCache
from training.models import voice_encoder
from training.models.voice_encoder import VoiceEncoder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    place = tmp_path / "random-encoder"
    place.mkdir()
    save_file(VoiceEncoder().state_dict(), place / "model.safetensors")
    return place


@pytest.fixture
def clips(write_wav: WriteWav, tmp_path: Path) -> list[Clip]:
    random = np.random.default_rng(0)
    files = [
        write_wav(tmp_path / f"{number}.wav", 0.1 * random.standard_normal(16_000 + 9_000 * number))
        for number in range(3)
    ]
    files.append(write_wav(tmp_path / "again.wav", 0.1 * np.random.default_rng(0).standard_normal(16_000)))
    return [Clip(file, file.name, None, None, {}, "s", file.name, None, {}) for file in files]


def test_they_are_computed_once(
    clips: list[Clip], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMOTIONS_CACHE", str(tmp_path / "cache"))
    cache = WaveformCache()
    facts = cache.prepare(clips)
    first = clip_embeddings(clips, facts, cache, folder)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(first[0], first[3])
    computed: list[int] = []
    embed = voice_encoder.embed

    def counted(encoder: VoiceEncoder, waveforms: object) -> object:
        for found in embed(encoder, waveforms):  # type: ignore[arg-type]
            computed.append(1)
            yield found

    monkeypatch.setattr(voice_encoder, "embed", counted)
    np.testing.assert_array_equal(clip_embeddings(clips, facts, cache, folder), first)
    assert not computed
    store = ArrayStore(tmp_path / "cache" / "voices")
    damaged = sorted(store.root.glob("*/*.npy"))[0]
    damaged.write_bytes(damaged.read_bytes()[:-9] + b"\x00" * 9)
    np.testing.assert_allclose(clip_embeddings(clips, facts, cache, folder), first, atol=1e-5)
    assert len(computed) == 1
    clip_embeddings(clips, facts, cache, folder.rename(folder.with_name("another-encoder")))
    assert len(computed) == 1 + 3


def test_so_many_clips_of_each_name_are_taken_and_the_same_in_any_order() -> None:
    names = ["a"] * 50 + ["b"] * 3 + [None] * 4
    facts = [ClipInfo(sha256=f"{number * 7919 % 57:03}") for number in range(57)]
    chosen = enough_of_each(names, facts)
    assert chosen == sorted(chosen)
    assert [names[index] for index in chosen] == ["a"] * ENOUGH + ["b"] * 3
    turned = enough_of_each(names[::-1], facts[::-1])
    assert {facts[index].sha256 for index in chosen} == {facts[::-1][index].sha256 for index in turned}
