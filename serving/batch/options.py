"""The options of ``emotions predict``, and what refuses those that would certainly stop a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from emotions.audio.speech.network import speech_network
from emotions.audio.speech.windows import Segments
from emotions.calls.channels import Channels, check_speakers
from emotions.errors import ConfigError, MissingExtra
from emotions.folder.predict_files import CHUNK_FILES
from emotions.pipeline.energy.config import EnergyConfig
from emotions.pipeline.energy.grid import check_energy
from emotions.runtime.session import DeviceChoice
from serving.batch.annotations import check_folder, check_formats
from serving.batch.calls import check_calls
from serving.batch.checkpoint import check_output
from serving.batch.page.report_page import check_page
from serving.batch.plot import check_plot
from serving.batch.progress import LogFormat
from serving.tables.writer import check_ending


@dataclass(frozen=True)
class Options:
    """How to classify: the options of ``emotions predict``.

    Attributes:
        lists: files with a path or URL a line; ``-`` is standard input.
        ray_address: Ray cluster to classify on: ``auto``, ``local`` or ``host:port``; None for this process.
        device: where the model runs; on every GPU where there are several.
        variant: which form of the model; None or ``auto`` for the one that suits the device.
        threads: CPU threads of the model and of decoding; None for one a core.
        chunk_files: files of a chunk: batches form inside it, and a killed run loses at most one.
        strict: a recording of which a part is missing is an error.
        segments: classify all of a recording, or its speech alone.
        channels: what of a recording with several channels is classified.
        speakers: names of the channels, where each is a participant.
        diarisation: file, or folder of files, that says who speaks when: each speaker is a participant.
        timeline: formats in which a file is written for each recording.
        timeline_folder: where; None for a folder beside the table.
        page: file to write a page for a browser to.
        calls: file to write what each call comes to, a line of JSON a recording; its speech alone is classified.
        energy: how to measure joules and CO2; None for not at all.
    """

    overwrite: bool = False
    resume: bool = False
    lists: Sequence[Path | str] = ()
    windows: bool = False
    embeddings: bool = False
    plot: Path | None = None
    ray_address: str | None = None
    device: DeviceChoice = "auto"
    variant: str | None = None
    threads: int | None = None
    chunk_files: int = CHUNK_FILES
    strict: bool = False
    segments: Segments = "windows"
    channels: Channels = "mix"
    speakers: Sequence[str] = ()
    diarisation: Path | None = None
    calls: Path | None = None
    page: Path | None = None
    timeline: Sequence[str] = ()
    timeline_folder: Path | None = None
    energy: EnergyConfig | None = None
    quiet: bool = False
    log_format: LogFormat = "text"

    def folder(self, output: Path) -> Path:
        """Folder of the files of ``timeline``.

        Args:
            output: the table.
        """
        return self.timeline_folder or output.with_name(f"{output.stem}.timelines")

    @property
    def needs_windows(self) -> bool:
        """Whether what is written is made of windows, or is not only the table."""
        return self.windows or self.calls is not None or self.page is not None or bool(self.timeline)

    @property
    def what(self) -> Segments:
        """What is classified of a recording: of calls their speech, unless somebody says where that is."""
        return self.segments if self.calls is None or self.diarisation is not None else "speech"


def check_table(output: Path, options: Options) -> None:
    """Refuse what would certainly stop a run, before anything is computed. As ``predict_to_table``."""
    check_ending(output)
    if options.plot is not None:
        check_plot(options.plot)
    if options.ray_address is not None and find_spec("ray") is None:
        raise MissingExtra("ray", "ray")
    check_parts(options)
    if options.energy is not None and options.ray_address is not None:
        raise ConfigError("energy: it is that of this machine; leave --ray-address out")
    if options.page is not None:
        if options.resume or options.ray_address is not None:
            raise ConfigError("page: it is of a whole run on this machine; leave --resume and --ray-address out")
        check_page(options.page, replaced=options.overwrite)
    if options.calls is not None:
        check_calls(options.calls, replaced=options.overwrite or options.resume)
    if options.timeline:
        check_formats(options.timeline)
        check_folder(options.folder(output), replaced=options.overwrite or options.resume)
    elif options.timeline_folder is not None:
        raise ConfigError("timeline_folder: say in which formats, with --timeline")
    check_output(output, overwrite=options.overwrite, resume=options.resume)


def check_parts(options: Options) -> None:
    """Refuse segments of speech and energy where what finds them is not installed, and names without a channel."""
    if options.energy is not None:
        check_energy(options.energy)
    if options.what == "speech":
        speech_network()
    if options.diarisation is not None and (options.segments == "speech" or options.channels == "split"):
        raise ConfigError("diarisation: it says who speaks where; leave --segments speech and --channels split out")
    if options.speakers:
        check_speakers(options.speakers)
        if options.channels != "split":
            raise ConfigError("speakers: they name the channels of --channels split")
