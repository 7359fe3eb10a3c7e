"""The steps, in the order in which they run: what others need comes first, what takes long and is needed least last."""

from __future__ import annotations

from benchmarks.gpu.step import Step

SECONDS = 470.0
"""For the whole run, report included: less than 8 minutes."""
DRY_SECONDS = 235.0
"""For a dry run, which takes less than half of it on two idle cores: those of a test run are shared."""
_STEPS = "benchmarks.gpu.steps"

STEPS = (
    Step("machine", "Driver, card, versions", f"{_STEPS}.machine:machine", 30),
    Step("provider", "The provider: one convolution, one attention", f"{_STEPS}.provider:provider", 45),
    Step("libraries", "Libraries in use", f"{_STEPS}.provider:libraries", 30),
    Step("matrix", "Matrix and copy rates of the card", f"{_STEPS}.machine:rates", 30),
    Step("bundles", "Bundles made", f"{_STEPS}.bundles:bundles", 190, needed=True),
    Step("families", "Every family, fallback forbidden", f"{_STEPS}.families:families", 60),
    Step("parity", "Answers against the CPU and the emulation", f"{_STEPS}.families:parity", 60),
    Step("share", "Share of the matrix rate, base-size wav2vec2", f"{_STEPS}.share:share", 45),
    Step("peers", "Against the transformers pipeline", f"{_STEPS}.share:peers", 45),
    Step("attention", "Which attention kernel ran", f"{_STEPS}.provider:attention", 30),
    Step("settings", "Settings of the provider", f"{_STEPS}.settings:settings", 90, trial=True),
    Step("shapes", "Alternating and new shapes", f"{_STEPS}.shapes:shapes", 40, trial=True),
    Step("streams", "Two streams", f"{_STEPS}.streams:streams", 30),
    Step("graphs", "CUDA graphs", f"{_STEPS}.streams:graphs", 30),
    Step("folder", "A folder against the bare session", f"{_STEPS}.serving:folder", 40, trial=True),
    Step("service", "The service against the bare session", f"{_STEPS}.serving:service", 60, trial=True),
    Step("drain", "Drained and restarted under load", f"{_STEPS}.serving:drain", 60, trial=True),
    Step("memory", "Memory provoked", f"{_STEPS}.memory:memory", 40),
    Step("precompute", "Feature pass of a training", f"{_STEPS}.training:precompute", 40),
    Step("fit", "Training in mixed precision", f"{_STEPS}.training:fit_mixed", 60),
)
