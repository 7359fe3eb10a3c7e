// The table of recordings: sorted, filtered, kept as CSV or JSON; a name opens its recording.

import { cut, element, labelled, shownLabel, shownName } from "./parts.js";
import { text } from "./text.js";
import { showRecording } from "./wave.js";

const COLUMNS = ["file", "channel", "label", "confidence", "seconds", "note"];
const RARE = new Set(["channel", "note"]); // shown where a row has one
const MOST_LINES = 1000; // a filter finds the others
const $ = (id) => document.getElementById(id);
const rows = [];
let sorted = { column: "", up: true };
let model = null;

/** Let the table be filtered and kept. */
export function startTable(described) {
  model = described;
  $("filter").addEventListener("input", drawTable);
  $("csv").addEventListener("click", () => keep("predictions.csv", "text/csv", csv()));
  $("json").addEventListener("click", () => keep("predictions.json", "application/json", JSON.stringify(rows.map(kept), null, 1)));
}

/** Add rows: { file, name, answer, error }. */
export function addRows(more) {
  rows.push(...more);
  drawTable();
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

/** Draw the rows anew. */
export function drawTable() {
  if (!rows.length) return;
  const wanted = $("filter").value.toLowerCase();
  const lines = rows.map((row) => ({ row, shown: kept(row) })).filter(({ shown }) => [shown.file, shown.label, shown.note].some((each) => String(each).toLowerCase().includes(wanted)));
  if (sorted.column) lines.sort((a, b) => compared(a.shown[sorted.column], b.shown[sorted.column]) * (sorted.up ? 1 : -1));
  const columns = COLUMNS.filter((column) => !RARE.has(column) || rows.some((row) => kept(row)[column] !== ""));
  const table = element("table", "", { id: "table" });
  const more = lines.length > MOST_LINES ? text("table.more", { shown: MOST_LINES, all: lines.length }) : "";
  table.createCaption().textContent = `${text("table.caption")} ${more}`;
  drawHead(table.createTHead().insertRow(), columns);
  const body = table.createTBody();
  for (const line of lines.slice(0, MOST_LINES)) drawRow(body.insertRow(), line, columns);
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
