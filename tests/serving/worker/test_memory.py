from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import asyncio
import psutil
from serving.worker.memory import return_memory

class Circle:
    pass

def burst():
    kept = [bytearray(b"x") * (1 << 20) for _ in range(200)]
    small = [b"%500d" % index for index in range(400_000)]
    last = bytearray(1000)
    circle = Circle()
    circle.own, circle.content = circle, [kept, small]
    return last

async def scene():
    process = psutil.Process()
    task = asyncio.create_task(return_memory(0.05))
    await asyncio.sleep(0.3)
    before = process.memory_info().rss
    last = burst()
    most = process.memory_info().rss
    for _ in range(100):
        await asyncio.sleep(0.05)
        if process.memory_info().rss < before + (40 << 20):
            break
    task.cancel()
    assert most > before + (300 << 20), (before, most)
    assert process.memory_info().rss < before + (40 << 20), (before, process.memory_info().rss)

import gc
gc.disable()
asyncio.run(scene())
"""


def test_what_a_burst_needed_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
