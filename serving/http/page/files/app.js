// The page: the model that is served, then what may be done with it.

import { colourLabels, element, spanOf } from "./parts.js";
import { askUntilThere, events, keepKey, Refused } from "./service.js";
import { startLanguage, text } from "./text.js";
import { showSnippets } from "./snippets.js";
import { startLive } from "./live.js";
import { redrawUploads, startUploads } from "./upload.js";

const $ = (id) => document.getElementById(id);
let model = null;

async function start() {
  await startLanguage($("language"), redraw);
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    keepKey($("key").value.trim());
    describe();
  });
  events.addEventListener("gone", gone);
  events.addEventListener("loading", ({ detail }) => notice(text("notice.loading", detail)));
  await describe();
}

let waiting = false;

/** Say that the service is gone until it is back. */
async function gone() {
  notice(text("notice.gone"));
  if (waiting || !model) return;
  waiting = true;
  await askUntilThere("/v1/model").catch(() => {});
  waiting = false;
  notice("");
}

async function describe() {
  try {
    model = await askUntilThere("/v1/model");
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    $("key-form").hidden = error.status !== 401;
    return notice(error.message);
  }
  notice("");
  $("key-form").hidden = true;
  colourLabels(model.targets);
  startUploads(model);
  startLive(model);
  redraw();
  document.body.dataset.ready = "1";
}

function notice(sentence) {
  $("notice").hidden = !sentence;
  $("notice").textContent = sentence;
}

function redraw() {
  if (!model) return;
  $("model-name").textContent = model.name;
  $("warnings").replaceChildren(...model.warnings.map((each) => element("p", each, { className: "notice" })));
  $("model").replaceChildren(...Object.entries(card()).flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  showSnippets();
  redrawUploads();
}

function card() {
  const { max_bytes: bytes, max_seconds: seconds, timeout_sec: timeout } = model.limits;
  const targets = Object.entries(model.targets).map(([target, labels]) => `${target}: ${labels.join(", ")}`);
  const dimensions = Object.entries(model.dimensions ?? {}).map(([target, { dimensions: names, range }]) => `${target}: ${names.join(", ")} (${range.join(" – ")})`);
  return {
    [text("model.bundle")]: model.bundle,
    [text("model.targets")]: [...targets, ...dimensions].join("; "),
    [text("model.measured")]: measured(),
    [text("model.license")]: model.license ?? text("model.unstated"),
    [text("model.data_license")]: model.data_license ?? text("model.unstated"),
    [text("model.window")]: text("model.windows", { seconds: model.window.samples / model.sample_rate }),
    [text("model.device")]: `${model.device}, ${model.variant}`,
    [text("model.limits")]: text("model.limit", { megabytes: Math.floor(bytes / 1e6), span: spanOf(seconds), timeout }),
  };
}

/** The protocol, and the UAR or CCC of each target on speakers of the test, else of the validation. */
function measured() {
  const { protocol, ...figures } = model.measured;
  const part = Object.keys(figures).some((name) => name.startsWith("test.")) ? "test" : "validation";
  const shown = Object.entries(figures).filter(([name]) => name.startsWith(`${part}.`) && /\.(uar|ccc)$/.test(name));
  const written = shown.map(([name, value]) => `${name.split(".").slice(1, -1).join(".")}: ${name.split(".").at(-1).toUpperCase()} ${value.toFixed(3)}`);
  return [...written, protocol].join("; ");
}

start();
