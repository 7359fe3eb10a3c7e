// Pieces that the live view and the view of a recording share: bars, the plane of valence and arousal, colours, tables.

import { text } from "./text.js";

const COLOURS = 8;
const LONGEST_NAME = 120;
const ROWS = 100; // of a table that are shown at once
const SVG = "http://www.w3.org/2000/svg";
const order = new Map();

/** An element with text, never markup: names and labels are anybody's. */
export function element(name, content = "", properties = {}) {
  const made = Object.assign(document.createElement(name), properties);
  if (content instanceof Node) made.append(content);
  else made.textContent = content;
  return made;
}

/** A name as it can be shown in a line: characters that turn or hide what stands beside them are marks. */
export const shownName = (name) => name.replace(/[\u0000-\u001f\u007f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");

/** A name for a line: of a very long one its begin, and all of it where one asks for it. */
export function shortName(name) {
  const whole = shownName(name);
  if (whole.length <= LONGEST_NAME) return document.createTextNode(whole);
  const made = element("details", "", { className: "long" });
  made.append(element("summary", cut(whole)), element("p", whole));
  return made;
}

/** The begin of a text that is very long. */
export const cut = (whole) => (whole.length > LONGEST_NAME ? `${[...whole.slice(0, LONGEST_NAME)].slice(0, -1).join("")}…` : whole);

/** A span of time as words. */
export const spanOf = (seconds) => (seconds < 120 ? text("seconds", { number: seconds }) : text("minutes", { number: Math.round(seconds / 60) }));

/** Give the labels of the model their colours, in its order. */
export function colourLabels(targets) {
  for (const labels of Object.values(targets)) labels.forEach((label, place) => order.set(label, place % COLOURS));
}

export const colourClass = (label) => `c${order.get(label) ?? COLOURS - 1}`;

/** The colour of a label as CSS has it now, light or dark. */
export function colour(label) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${colourClass(label)}`).trim();
}

/** The colours of labels, each looked up once. */
export function colours() {
  const known = new Map();
  return (label) => {
    if (!known.has(label)) known.set(label, colour(label));
    return known.get(label);
  };
}

/** The label of the first target, or that it is unknown. */
export function shownLabel(answer) {
  if (answer.unknown) return text("unknown");
  return answer.label ?? shownValues(answer.values);
}

export function shownValues(values = {}) {
  return Object.values(values).flatMap((named) => Object.entries(named).map(([name, value]) => `${name} ${value.toFixed(2)}`)).join(", ");
}

/** A meter for each probability, and a line for each value of a dimension. */
export function drawBars(place, answer) {
  const groups = Object.entries(answer.probabilities ?? {}).map(([target, chances]) => bars(target, chances, answer.unknowns?.[target]));
  const values = Object.entries(answer.values ?? {}).map(([target, named]) => valueList(target, named));
  place.replaceChildren(...groups, ...values);
}

function bars(target, chances, unknown) {
  const group = element("div", "", { className: "bars" });
  group.append(element("h4", unknown ? `${target}: ${text("unknown")}` : target));
  for (const [label, chance] of Object.entries(chances)) {
    const row = element("div", "", { className: "bar" });
    row.append(element("span", shownName(label)), track(shownName(label), colourClass(label), chance), element("span", `${(100 * chance).toFixed(0)} %`));
    group.append(row);
  }
  return group;
}

function track(label, kind, chance) {
  const made = element("div", "", { className: "track", role: "meter", ariaLabel: label, ariaValueMin: 0, ariaValueMax: 1 });
  made.ariaValueNow = chance.toFixed(2);
  const filled = element("div", "", { className: `filled ${kind}` });
  filled.style.width = `${100 * chance}%`;
  made.append(filled);
  return made;
}

function valueList(target, named) {
  const group = element("div", "", { className: "bars" });
  group.append(element("h4", target));
  for (const [name, value] of Object.entries(named)) group.append(element("p", `${name}  ${value.toFixed(3)}`));
  return group;
}

/** Valence and arousal as a point of a plane; nothing where the model has none. */
export function drawPlane(place, answer, ranges) {
  const found = Object.entries(answer.values ?? {}).find(([, named]) => "valence" in named && "arousal" in named);
  place.hidden = !found;
  if (!found) return;
  const [low, high] = ranges[found[0]]?.range ?? [0, 1];
  const share = (value) => Math.min(1, Math.max(0, (value - low) / (high - low)));
  const picture = svg("svg", { viewBox: "0 0 100 100", role: "img", "aria-label": shownValues(answer.values) });
  picture.append(svg("rect", { x: 1, y: 1, width: 98, height: 98, class: "plane" }));
  picture.append(svg("path", { d: "M50 1V99M1 50H99", class: "plane" }));
  picture.append(svg("circle", { cx: 1 + 98 * share(found[1].valence), cy: 99 - 98 * share(found[1].arousal), r: 4, class: "point" }));
  place.replaceChildren(picture, element("figcaption", text("plane.caption"), { className: "soft" }));
}

function svg(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** A table of parts of a recording: segments of speech or windows; of many a page at a time. */
export function partsTable(parts, play) {
  const made = element("div");
  const draw = (first) => made.replaceChildren(tableOf(parts.slice(first, first + ROWS), play), ...(parts.length > ROWS ? [pages(parts.length, first, draw)] : []));
  draw(0);
  return made;
}

function tableOf(parts, play) {
  const table = element("table");
  table.createCaption().textContent = text(play ? "parts.caption" : "parts.heard");
  const head = table.createTHead().insertRow();
  for (const each of ["parts.from", "parts.to", "table.label", "table.confidence"]) head.append(element("th", text(each), { scope: "col" }));
  const body = table.createTBody();
  for (const part of parts) {
    const row = body.insertRow();
    const begin = element("button", part.start.toFixed(2), { type: "button", onclick: () => play(part.start) });
    row.insertCell().append(play ? begin : part.start.toFixed(2));
    row.insertCell().textContent = part.end.toFixed(2);
    row.insertCell().append(labelled(part));
    row.insertCell().textContent = part.confidence?.toFixed(2) ?? "";
  }
  return table;
}

function pages(all, first, draw) {
  const turn = (label, to) => element("button", text(label), { type: "button", disabled: to < 0 || to >= all, onclick: () => draw(to) });
  const place = element("p");
  const shown = text("parts.page", { first: first + 1, last: Math.min(all, first + ROWS), all });
  place.append(turn("parts.before", first - ROWS), ` ${shown} `, turn("parts.after", first + ROWS));
  return place;
}

/** A label beside a square of its colour. */
export function labelled(answer) {
  const made = element("span", shownName(shownLabel(answer)));
  made.prepend(element("span", "", { className: `square ${colourClass(answer.label)}` }));
  return made;
}
