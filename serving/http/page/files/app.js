// The page: the model that is served, then what may be done with it.

import { drawCard } from "./card.js";
import { colourLabels } from "./parts.js";
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
  drawCard(model);
  showSnippets();
  redrawUploads();
}

start();
