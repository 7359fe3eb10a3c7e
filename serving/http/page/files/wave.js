// One recording: its waveform with the probabilities over time, played, and sought by a click.

import { colours, drawBars, drawPlane, labelled, partsTable, shortName } from "./parts.js";
import { outlineOf } from "./peaks.js";
import { drawStrip } from "./strip.js";
import { text } from "./text.js";
import Regions from "./vendor/regions.esm.js";
import WaveSurfer from "./vendor/wavesurfer.esm.js";

const MOST_REGIONS = 300; // more of them are told apart below the waveform alone
const $ = (id) => document.getElementById(id);
let shown = null;

/** Show a recording and what was answered of it. `file` may be { src, peaks, duration } instead. */
export async function showRecording({ file, name, answer }, model) {
  shown?.destroy();
  shown = null;
  $("detail").hidden = false;
  $("detail-title").replaceChildren(shortName(name));
  $("detail-head").replaceChildren(labelled(answer));
  drawBars($("detail-bars"), answer);
  drawPlane($("detail-plane"), answer, model.dimensions ?? {});
  const parts = partsOf(answer);
  $("parts").replaceChildren(parts.length ? partsTable(parts, (second) => play(second)) : "");
  await drawWave(file, parts, answer.duration_sec);
}

/** Segments of speech, else windows; each with its label, that of the first target, and the shares of its labels. */
export function partsOf(answer) {
  return (answer.segments ?? answer.windows ?? []).map((part) => {
    const shares = Object.entries(Object.values(part.probabilities ?? {})[0] ?? {});
    const best = shares.length ? shares.reduce((a, b) => (b[1] > a[1] ? b : a)) : [];
    return { ...part, shares, label: best[0], confidence: best[1] };
  });
}

async function drawWave(file, parts, seconds) {
  const place = $("wave");
  place.replaceChildren();
  delete place.dataset.ready;
  const regions = Regions.create();
  const wave = WaveSurfer.create({
    container: place,
    height: 110,
    normalize: true,
    waveColor: colourOf("--soft"),
    progressColor: colourOf("--ink"),
    cspNonce: document.querySelector("meta[name=style-nonce]").content,
    plugins: [regions],
  });
  shown = wave;
  $("play").onclick = () => wave.playPause();
  followed(wave, parts, seconds);
  try {
    await load(wave, file);
    if (parts.length <= MOST_REGIONS) drawRegions(regions, parts);
    place.dataset.ready = "1";
  } catch {
    if (shown === wave) place.textContent = text("wave.none");
  }
}

async function load(wave, file) {
  if (file.peaks) return wave.load(file.src, [file.peaks], file.duration); // of a page beside its recordings
  const outline = await outlineOf(file).catch(() => null);
  return outline ? wave.loadBlob(file, [outline.peaks], outline.duration) : wave.loadBlob(file);
}

function drawRegions(regions, parts) {
  const colour = colours();
  for (const part of parts) regions.addRegion({ start: part.start, end: part.end, color: `${colour(part.label)}44`, drag: false, resize: false });
}

/** The shares below the waveform: they follow its scroll and its zoom, show where playback stands, and seek. */
function followed(wave, parts, seconds) {
  const canvas = $("strip");
  canvas.setAttribute("aria-label", text("wave.strip"));
  const view = { from: 0, to: seconds || 1, at: 0 };
  let asked = 0;
  const draw = (change) => {
    Object.assign(view, change);
    asked ||= requestAnimationFrame(() => {
      asked = 0;
      if (shown === wave) drawStrip(canvas, parts, view, colours());
    });
  };
  const seen = () => {
    const wide = wave.getWrapper().clientWidth || 1;
    const [left, width] = [wave.getScroll(), wave.getWidth()];
    const whole = wave.getDuration() || seconds || 1;
    draw({ from: (left / wide) * whole, to: Math.min(whole, ((left + width) / wide) * whole) });
  };
  for (const event of ["scroll", "zoom", "redraw", "ready"]) wave.on(event, seen);
  wave.on("timeupdate", (at) => draw({ at }));
  canvas.onclick = ({ offsetX }) => wave.setTime(view.from + (offsetX / canvas.clientWidth) * (view.to - view.from));
  $("zoom").value = 0;
  $("zoom").oninput = ({ target }) => wave.zoom(target.value === "0" ? 0 : pace(wave, Number(target.value)));
  draw({});
}

/** Pixels a second: at 0 all of the recording is seen, at 100 a few seconds of it. */
function pace(wave, value) {
  const least = wave.getWidth() / (wave.getDuration() || 1);
  return least * Math.max(1, 100 / least) ** (value / 100);
}

function play(second) {
  shown?.setTime(second);
  shown?.play();
}

const colourOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
