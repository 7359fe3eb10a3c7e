"""The examples for voice agents, as their page has them: inside the real packages, before a real service."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from emotions.audio.decode import SAMPLE_RATE
from tests.export.importers.environments import made_environment
from tests.servers import running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
START = """
import asyncio, json, re, sys, types
import soundfile
page, url, talk = sys.argv[1:]
code = re.findall(r"```python\\n(.*?)```", open(page).read(), re.S)[NUMBER]
agent = sys.modules["agent"] = types.ModuleType("agent")
exec(compile(code, page, "exec"), agent.__dict__)
samples, rate = soundfile.read(talk, dtype="int16")
found = []
"""
PIPECAT = """
from pipecat.frames.frames import EndFrame, InputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineTask
from pipecat.processors.frame_processor import FrameProcessor

passed = 0

class Collector(FrameProcessor):
    async def process_frame(self, frame, direction):
        global passed
        await super().process_frame(frame, direction)
        if isinstance(frame, agent.EmotionFrame):
            found.append([frame.label, frame.confidence, frame.measurement["audio_end_ms"]])
        passed += isinstance(frame, InputAudioRawFrame)
        await self.push_frame(frame, direction)

async def main():
    task = PipelineTask(Pipeline([agent.EmotionProcessor(url, rate=rate), Collector()]))
    async def feed():
        for at in range(0, len(samples), rate // 50):
            await task.queue_frame(InputAudioRawFrame(samples[at : at + rate // 50].tobytes(), rate, 1))
            await asyncio.sleep(0.02)
        await asyncio.sleep(2)
        await task.queue_frame(EndFrame())
    await asyncio.gather(PipelineRunner(handle_sigint=False).run(task), feed())
    print(json.dumps({"found": found, "passed": passed}))

asyncio.run(main())
"""
LIVEKIT = """
from livekit import rtc

async def act(label, confidence):
    found.append([label, confidence])

async def main():
    source = rtc.AudioSource(rate, 1)
    track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
    measuring = asyncio.create_task(agent.measure(track, url, act))
    step = rate // 100
    for at in range(0, len(samples) - step + 1, step):
        await source.capture_frame(rtc.AudioFrame(samples[at : at + step].tobytes(), rate, 1, step))
    await source.wait_for_playout()
    await asyncio.sleep(2)
    measuring.cancel()
    print(json.dumps({"found": found}))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def talk(emodb4: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sentences between pauses, 16 kHz."""
    pause, parts = np.zeros(SAMPLE_RATE, np.int16), []
    for path in sorted(emodb4.glob("*/*.wav"))[:2]:
        parts += [pause, soundfile.read(path, dtype="int16")[0]]
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    soundfile.write(path, np.concatenate([*parts, pause]), SAMPLE_RATE)
    return path


@pytest.mark.parametrize(
    ("number", "package", "script"),
    [(0, "pipecat-ai==1.14.0", PIPECAT), (1, "livekit==1.1.21", LIVEKIT)],
    ids=["pipecat", "livekit"],
)
def test_an_agent_hears_how_its_caller_speaks(
    number: int, package: str, script: str, talk: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    python = made_environment(tmp_path / "environment", package, dependencies=True)
    program = tmp_path / "agent.py"
    program.write_text(START.replace("NUMBER", str(number)) + script)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with running(tmp_path, EMOTIONS_BUNDLE=str(tiny_bundle)) as server:
        page = ROOT / "docs" / "how-to" / "voice_agents.md"
        command = [str(python), str(program), str(page), server.url, str(talk)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert len(told["found"]) >= 2
    for _, confidence, *_ in told["found"]:
        assert 0 < confidence <= 1
    if "passed" in told:  # every frame of the call goes on to what stands behind the processor
        assert told["passed"] == -(-soundfile.info(talk).frames // (SAMPLE_RATE // 50))
