// One recording: its waveform with the probabilities over time, played, and sought by a click.

import { colour, colourClass, drawBars, drawPlane, labelled, partsTable, shownName } from "./parts.js";
import { text } from "./text.js";
import Regions from "./vendor/regions.esm.js";
import Timeline from "./vendor/timeline.esm.js";
import WaveSurfer from "./vendor/wavesurfer.esm.js";

const MOST_REGIONS = 2000;
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 600, 1800];
const $ = (id) => document.getElementById(id);
let shown = null;

/** Show a recording and what was answered of it. */
export async function showRecording({ file, name, answer }, model) {
  shown?.destroy();
  shown = null;
  $("detail").hidden = false;
  $("detail-title").textContent = shownName(name);
  $("detail-head").replaceChildren(labelled(answer));
  drawBars($("detail-bars"), answer);
  drawPlane($("detail-plane"), answer, model.dimensions ?? {});
  const parts = partsOf(answer);
  $("parts").replaceChildren(parts.length ? partsTable(parts, (second) => play(second)) : "");
  await drawWave(file, parts);
}

/** Segments of speech, else windows; each with its label, that of the first target. */
export function partsOf(answer) {
  return (answer.segments ?? answer.windows ?? []).map((part) => {
    const [best] = Object.values(part.probabilities ?? {}).map((chances) => Object.entries(chances).reduce((a, b) => (b[1] > a[1] ? b : a)));
    return { ...part, label: best?.[0], confidence: best?.[1] };
  });
}

async function drawWave(file, parts) {
  const place = $("wave");
  place.replaceChildren();
  const regions = Regions.create();
  const wave = WaveSurfer.create({
    container: place,
    height: 120,
    normalize: true,
    waveColor: colourOf("--soft"),
    progressColor: colourOf("--ink"),
    cspNonce: document.querySelector("meta[name=style-nonce]").content,
    plugins: [regions],
  });
  shown = wave;
  $("play").onclick = () => wave.playPause();
  wave.once("decode", (seconds) => wave.registerPlugin(Timeline.create(marks(seconds))));
  try {
    await wave.loadBlob(file);
    for (const part of parts.slice(0, MOST_REGIONS)) {
      regions.addRegion({ start: part.start, end: part.end, color: `${colour(part.label)}44`, drag: false, resize: false });
    }
    place.dataset.ready = "1";
  } catch {
    if (shown === wave) place.textContent = text("wave.none");
  }
}

/** Marks of the time axis, about ten of them with numbers. */
function marks(seconds) {
  const step = STEPS.find((each) => seconds / each <= 10) ?? STEPS.at(-1);
  return { timeInterval: step / 5, primaryLabelInterval: step, secondaryLabelInterval: 0, style: { fontSize: "12px" } };
}

function play(second) {
  shown?.setTime(second);
  shown?.play();
}

const colourOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
