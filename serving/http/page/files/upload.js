// Files and folders: sent two at a time, a row each, and a table to sort, filter and keep.

import { spanOf } from "./parts.js";
import { ask, query } from "./service.js";
import { showSnippets } from "./snippets.js";
import { addRows, drawTable, startTable } from "./table.js";
import { text } from "./text.js";
import { showRecording } from "./wave.js";

const AT_ONCE = 2;
const SENT_AS = "recording";
const $ = (id) => document.getElementById(id);
let waiting = [];
let working = 0;
let total = 0;
let done = 0;
let model = null;

/** Let files be dropped and chosen. */
export function startUploads(described) {
  model = described;
  for (const id of ["files", "folder"]) {
    $(id).addEventListener("change", ({ target }) => {
      add([...target.files]);
      target.value = "";
    });
  }
  $("drop").addEventListener("dragover", (event) => event.preventDefault());
  $("drop").addEventListener("drop", async (event) => {
    event.preventDefault();
    add(await dropped(event.dataTransfer));
  });
  startTable(model);
  drawLimits();
}

/** Draw what is said in the page's language anew. */
export function redrawUploads() {
  drawLimits();
  drawTable();
}

function drawLimits() {
  const { max_bytes: bytes, max_seconds: seconds } = model.limits;
  $("limits").textContent = text("files.limits", { megabytes: Math.floor(bytes / 1e6), span: spanOf(seconds) });
}

async function dropped(transfer) {
  const entries = [...transfer.items].map((each) => each.webkitGetAsEntry?.()).filter(Boolean);
  return entries.length ? (await Promise.all(entries.map(filesOf))).flat() : [...transfer.files];
}

async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((found, failed) => entry.file(found, failed))];
  const reader = entry.createReader();
  const all = [];
  for (;;) { // a folder is read in parts
    const some = await new Promise((found, failed) => reader.readEntries(found, failed));
    if (!some.length) break;
    all.push(...some);
  }
  return (await Promise.all(all.map(filesOf))).flat();
}

function add(files) {
  const audio = files.filter((file) => !file.name.startsWith("."));
  waiting.push(...audio);
  total += audio.length;
  $("results").hidden = false;
  drawProgress();
  while (working < AT_ONCE && waiting.length) next();
}

async function next() {
  working += 1;
  for (let file; (file = waiting.shift()); ) {
    const found = await classified(file);
    done += 1;
    drawProgress();
    addRows(found);
    if (total === 1 && !found.at(-1).error) showRecording(found.at(-1), model);
  }
  working -= 1;
}

async function classified(file) {
  const name = file.webkitRelativePath || file.name;
  const asked = query({ speech: $("speech").checked, split: $("split").checked });
  if (file.size > model.limits.max_bytes) return [failed(file, name, text("error.large", { megabytes: Math.floor(model.limits.max_bytes / 1e6) }))];
  const form = new FormData();
  form.append("file", file, SENT_AS); // its name says nothing to the service
  showSnippets(asked, name);
  try {
    const answer = await ask(`/v1/predict${asked}`, { method: "POST", body: form });
    if (!answer.channels) return [{ file, name, answer }];
    return answer.channels.map((each) => (each.error ? failed(file, name, each.error.message, each.channel) : { file, name, answer: { ...each, duration_sec: answer.duration_sec } }));
  } catch (error) {
    return [failed(file, name, error instanceof TypeError ? text("notice.gone") : error.message)];
  }
}

/** A row without an answer; the service names a recording as it was sent. */
const failed = (file, name, error, channel) => ({ file, name, error: error.replace(`${SENT_AS}: `, ""), answer: { channel } });

function drawProgress() {
  $("progress").textContent = text("files.progress", { done, all: total });
}
