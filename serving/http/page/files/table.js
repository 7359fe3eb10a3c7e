// The table of recordings: sorted, filtered, kept as CSV or JSON; a name opens its recording.

import { cut, element, labelled, shownLabel, shownName } from "./parts.js";
import { text } from "./text.js";
import { showRecording } from "./wave.js";

const COLUMNS = ["file", "channel", "label", "confidence", "seconds", "note"];
const RARE = new Set(["channel", "note"]); // shown where a row has one
const MOST_LINES = 1000; // a filter finds the others
const $ = (id) => document.getElementById(id);
const entries = []; // each row beside what is shown of it, in the order in which they came
let found = []; // those that the filter finds, in the order in which they are shown; `line` is the table's where it has one
let columns = [];
let sorted = { column: "", up: true };
let model = null;

/** Let the table be filtered and kept. */
export function startTable(described) {
  model = described;
  $("filter").addEventListener("input", drawTable);
  $("csv").addEventListener("click", () => keep("predictions.csv", "text/csv", csv()));
  $("json").addEventListener("click", () => keep("predictions.json", "application/json", JSON.stringify(entries.map(({ shown }) => shown), null, 1)));
}

/** Add rows: { file, name, answer, error }. Each goes to its place; what is there already stays, and whoever is at it. */
export function addRows(more) {
  const added = more.map((row) => ({ row, shown: kept(row) }));
  entries.push(...added);
  if (!columns.length || columnsOf(added).some((column) => !columns.includes(column))) return drawTable();
  added.filter(isFound).forEach(insert);
  drawCaption();
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

/** Draw all rows anew: in another language, another order, or by another filter. */
export function drawTable() {
  if (!entries.length) return;
  for (const entry of entries) Object.assign(entry, { shown: kept(entry.row), line: null });
  columns = columnsOf(entries);
  found = entries.filter(isFound);
  if (sorted.column) found.sort(ordered);
  const table = element("table", "", { id: "table" });
  table.createCaption();
  drawHead(table.createTHead().insertRow());
  table.createTBody().append(...found.slice(0, MOST_LINES).map(drawn));
  $("table").replaceWith(table);
  drawCaption();
}

/** Put a row between those that are shown before and after it. */
function insert(entry) {
  const place = placeOf(entry);
  found.splice(place, 0, entry);
  if (place >= MOST_LINES) return;
  $("table").tBodies[0].insertBefore(drawn(entry), found[place + 1]?.line ?? null);
  const last = found[MOST_LINES];
  last?.line?.remove();
  if (last) last.line = null;
}

/** How many rows are shown before one: behind its equals, as a stable sort has it. */
function placeOf(entry) {
  let [low, high] = [sorted.column ? 0 : found.length, found.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ordered(found[middle], entry) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

const columnsOf = (some) => COLUMNS.filter((column) => !RARE.has(column) || some.some(({ shown }) => shown[column] !== ""));
const ordered = (a, b) => compared(a.shown[sorted.column], b.shown[sorted.column]) * (sorted.up ? 1 : -1);
const compared = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));

function isFound({ shown }) {
  const wanted = $("filter").value.toLowerCase();
  return [shown.file, shown.label, shown.note].some((each) => String(each).toLowerCase().includes(wanted));
}

function drawCaption() {
  const more = found.length > MOST_LINES ? text("table.more", { shown: MOST_LINES, all: found.length }) : "";
  $("table").caption.textContent = `${text("table.caption")} ${more}`;
}

function drawHead(head) {
  for (const column of columns) {
    const cell = element("th", "", { scope: "col", className: column });
    cell.append(element("button", text(`table.${column}`), { type: "button", onclick: () => sortBy(column) }));
    if (column === sorted.column) cell.setAttribute("aria-sort", sorted.up ? "ascending" : "descending");
    head.append(cell);
  }
}

function sortBy(column) {
  sorted = { column, up: sorted.column === column ? !sorted.up : true };
  drawTable();
  $("table").querySelector(`th.${column} button`).focus(); // whoever sorts by the keyboard stays where he is
}

/** The line of a row, which is kept with it. */
function drawn(entry) {
  const { row, shown } = entry;
  const cells = {
    file: () => element("button", cut(shownName(shown.file)), { type: "button", title: shownName(shown.file), onclick: () => showRecording(row, model), disabled: Boolean(row.error) }),
    label: () => (row.error ? "" : labelled(row.answer)),
    confidence: () => (shown.confidence === "" ? "" : shown.confidence.toFixed(3)),
    seconds: () => (shown.seconds === "" ? "" : shown.seconds.toFixed(2)),
  };
  entry.line = element("tr");
  for (const column of columns) {
    const cell = entry.line.insertCell();
    cell.className = column;
    cell.append(cells[column]?.() ?? shown[column]);
  }
  return entry.line;
}

/** CSV with a column for each probability and value; a cell that a spreadsheet would compute is quoted as text. */
function csv() {
  const all = entries.map(({ shown: { probabilities, values, ...plain } }) => ({ ...plain, ...flat(probabilities), ...flat(values) }));
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
  setTimeout(() => URL.revokeObjectURL(link.href), 60000); // a busy browser fetches it later
}
