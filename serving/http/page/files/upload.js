// Files and folders: sent two at a time, a row each, and a table to sort, filter and keep.

import { cut, element, labelled, shownLabel, shownName, spanOf } from "./parts.js";
import { ask, query } from "./service.js";
import { showSnippets } from "./snippets.js";
import { text } from "./text.js";
import { showRecording } from "./wave.js";

const AT_ONCE = 2;
const SENT_AS = "recording";
const COLUMNS = ["file", "channel", "label", "confidence", "seconds", "note"];
const RARE = new Set(["channel", "note"]); // shown where a row has one
const $ = (id) => document.getElementById(id);
let rows = [];
let waiting = [];
let working = 0;
let total = 0;
let done = 0;
let sorted = { column: "", up: true };
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
  $("filter").addEventListener("input", drawTable);
  $("csv").addEventListener("click", () => keep("predictions.csv", "text/csv", csv()));
  $("json").addEventListener("click", () => keep("predictions.json", "application/json", JSON.stringify(rows.map(kept), null, 1)));
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
    rows.push(...(await classified(file)));
    done += 1;
    drawProgress();
    drawTable();
    if (total === 1 && rows.length && !rows.at(-1).error) showRecording(rows.at(-1), model);
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

/** A row as text and numbers: what is shown, sorted and kept. */
function kept({ name, answer, error }) {
  return {
    file: name,
    channel: answer.channel ?? "",
    label: error ? "" : shownLabel(answer),
    confidence: answer.confidence ?? "",
    seconds: answer.duration_sec ?? "",
    note: error ?? (answer.warnings ?? []).join("; "),
    ...(answer.probabilities && { probabilities: answer.probabilities }),
    ...(answer.values && { values: answer.values }),
  };
}

function drawTable() {
  if (!rows.length) return;
  const wanted = $("filter").value.toLowerCase();
  const lines = rows.map((row) => ({ row, shown: kept(row) })).filter(({ shown }) => [shown.file, shown.label, shown.note].some((each) => String(each).toLowerCase().includes(wanted)));
  if (sorted.column) lines.sort((a, b) => compared(a.shown[sorted.column], b.shown[sorted.column]) * (sorted.up ? 1 : -1));
  const columns = COLUMNS.filter((column) => !RARE.has(column) || rows.some((row) => kept(row)[column] !== ""));
  const table = element("table", "", { id: "table" });
  table.createCaption().textContent = text("table.caption");
  drawHead(table.createTHead().insertRow(), columns);
  const body = table.createTBody();
  for (const line of lines) drawRow(body.insertRow(), line, columns);
  $("table").replaceWith(table);
}

const compared = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));

function drawHead(head, columns) {
  for (const column of columns) {
    const cell = element("th", "", { scope: "col" });
    cell.append(element("button", text(`table.${column}`), { type: "button", onclick: () => sortBy(column) }));
    if (column === sorted.column) cell.setAttribute("aria-sort", sorted.up ? "ascending" : "descending");
    head.append(cell);
  }
}

function sortBy(column) {
  sorted = { column, up: sorted.column === column ? !sorted.up : true };
  drawTable();
}

function drawRow(line, { row, shown }, columns) {
  const cells = {
    file: () => element("button", cut(shownName(shown.file)), { type: "button", title: shownName(shown.file), onclick: () => showRecording(row, model), disabled: Boolean(row.error) }),
    label: () => (row.error ? "" : labelled(row.answer)),
    confidence: () => (shown.confidence === "" ? "" : shown.confidence.toFixed(3)),
    seconds: () => (shown.seconds === "" ? "" : shown.seconds.toFixed(2)),
  };
  for (const column of columns) {
    const cell = line.insertCell();
    cell.className = column;
    cell.append(cells[column]?.() ?? shown[column]);
  }
}

/** CSV with a column for each probability and value; a cell that a spreadsheet would compute is quoted as text. */
function csv() {
  const all = rows.map((row) => {
    const { probabilities, values, ...plain } = kept(row);
    return { ...plain, ...flat(probabilities), ...flat(values) };
  });
  const names = [...new Set(all.flatMap(Object.keys))];
  return [names, ...all.map((row) => names.map((name) => row[name] ?? ""))].map((line) => line.map(quoted).join(",")).join("\r\n");
}

const flat = (targets = {}) => Object.fromEntries(Object.entries(targets).flatMap(([target, named]) => Object.entries(named).map(([name, value]) => [`${target}.${name}`, value])));

function quoted(value) {
  const written = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(written) ? `"${written.replaceAll('"', '""')}"` : written;
}

function keep(name, type, content) {
  const link = element("a", "", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
