// The page of a folder run: what it holds was computed before, and recordings are played where they lie.

import { drawCard } from "./card.js";
import { colourLabels } from "./parts.js";
import { addRows, drawTable, startTable } from "./table.js";
import { startLanguage, text } from "./text.js";

const $ = (id) => document.getElementById(id);
const { model, files, left } = JSON.parse($("given").textContent);

async function start() {
  await startLanguage($("language"), draw);
  colourLabels(model.targets);
  startTable(model);
  addRows(files.map(row));
  $("results").hidden = false;
  draw();
  document.body.dataset.ready = "1";
}

function draw() {
  drawCard(model);
  drawTable();
  $("notice").hidden = !left;
  $("notice").textContent = text("report.left", { number: left });
}

/** A row as the table has it; its windows are made when it is opened. */
function row({ name, error, src, peaks, answer }) {
  if (error) return { name, error, answer };
  const { windows, segments, ...rest } = answer;
  Object.defineProperties(rest, { windows: { get: () => parts(windows) }, segments: { get: () => segments && parts(segments) } });
  return { name, answer: rest, file: { src, peaks: peaks.map((each) => each / 100), duration: rest.duration_sec } };
}

/** Parts of a recording: each is its start, its end, and what all targets say, in the order of their names. */
function parts(written) {
  const names = { ...model.targets, ...Object.fromEntries(Object.entries(model.dimensions ?? {}).map(([target, { dimensions }]) => [target, dimensions])) };
  return written.map(([start, end, ...scores]) => {
    const part = { start, end, probabilities: {}, values: {} };
    for (const [target, labels] of Object.entries(names)) {
      const named = Object.fromEntries(labels.map((label) => [label, scores.shift()]));
      (target in model.targets ? part.probabilities : part.values)[target] = named;
    }
    return part;
  });
}

start();
