"""Every target by its name."""

from __future__ import annotations

from tests.security.fuzz.annotation_targets import ANNOTATION_TARGETS
from tests.security.fuzz.target import Target
from tests.security.fuzz.targets import TARGETS as KERNEL_TARGETS
from tests.security.fuzz.training_targets import TRAINING_TARGETS

TARGETS: dict[str, Target] = {**KERNEL_TARGETS, **ANNOTATION_TARGETS, **TRAINING_TARGETS}
