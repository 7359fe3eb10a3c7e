// What a service would answer, answered in this browser: the model is in a worker, and nothing is sent anywhere.

import { rateOf } from "./browser/rates.js";
import { Refused } from "./requests.js";

export { query, Refused } from "./requests.js";

const RELOADED = "emotions.isolated";
const WAIT_MS = 600000;
const CLAIM_MS = 5000; // a busy machine takes a while; a page that is forced to load anew is never claimed

/** Tells "loading" with megabytes while the model comes. */
export const events = new EventTarget();
export const key = () => "";
export const keepKey = () => {};

const waiting = new Map();
let worker = null;
let number = 0;
let stream = null;
let opened = null;

/** What a service's route would answer. */
export async function ask(path, { body } = {}) {
  const url = new URL(path, location.href);
  if (url.pathname.endsWith("/v1/model")) return (opened ??= open());
  const options = { speech: url.searchParams.get("segments") === "speech", split: url.searchParams.get("channels") === "split" };
  return predict(body.get("file"), options);
}

export const askUntilThere = ask;

async function open() {
  await keepOffline();
  worker = new Worker(new URL("./browser/worker.js", import.meta.url), { type: "module" });
  worker.onmessage = ({ data }) => hear(data);
  worker.onerror = (event) => failAll(event.message || "a file of this site cannot be read");
  const model = await call("open");
  document.getElementById("speech").disabled = !model.speech;
  document.body.dataset.milliseconds = model.milliseconds;
  return model;
}

function failAll(reason) {
  for (const { failed } of waiting.values()) failed(new Refused(500, "worker", `The model has stopped: ${reason}`));
  waiting.clear();
}

function call(kind, request = {}, moved = []) {
  number += 1;
  const at = number;
  worker.postMessage({ number: at, kind, ...request }, moved);
  return new Promise((done, failed) => waiting.set(at, { done, failed }));
}

function hear({ number: at, result, error, message, loading }) {
  if (loading) return events.dispatchEvent(new CustomEvent("loading", { detail: loading }));
  if (message) return stream?.onmessage?.({ data: JSON.stringify(message) });
  const { done, failed } = waiting.get(at) ?? {};
  waiting.delete(at);
  return error ? failed?.(new Refused(error.status, error.code, error.message)) : done?.(result);
}

async function predict(file, options) {
  const buffer = await file.arrayBuffer().catch(() => {
    throw new Refused(400, "unreadable", "cannot be read: it was moved, changed or removed");
  });
  const copy = buffer.slice(0); // the worker takes one; where it is no plain WAV the browser decodes the other
  const answer = await call("predict", { buffer, options }, [buffer]);
  if (answer) return answer;
  const { channels, rate } = await decoded(copy);
  return call("predict", { channels, rate, options }, channels.map((each) => each.buffer));
}

/** The channels of a recording by the browser's decoders, at the rate it was made with. */
async function decoded(buffer) {
  if (!buffer.byteLength) throw new Refused(422, "not_audio", "is empty");
  const rate = rateOf(new Uint8Array(buffer));
  try {
    const audio = await new OfflineAudioContext(1, 1, rate).decodeAudioData(buffer);
    return { channels: Array.from({ length: audio.numberOfChannels }, (_, at) => audio.getChannelData(at).slice()), rate: audio.sampleRate };
  } catch {
    throw new Refused(422, "not_audio", "is not a recording that this browser decodes");
  }
}

/** Live audio, with the face of a WebSocket. */
export function openStream() {
  stream = new LocalStream();
  return stream;
}

class LocalStream {
  constructor() {
    this.readyState = WebSocket.OPEN;
    setTimeout(() => this.onopen?.());
  }

  send(content) {
    if (typeof content !== "string") return call("audio", { samples: content }).catch((error) => this.fail(error));
    const { type, session } = JSON.parse(content);
    if (type === "session.close") return call("close").catch((error) => this.fail(error));
    return call("stream", { configuration: session }).then(() => this.tell({ type: "session.updated" }), (error) => this.fail(error));
  }

  fail({ code, message }) {
    this.tell({ type: "error", code, message });
    if (code !== "not_installed") this.onclose?.();
  }

  tell(message) {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  close() {
    this.readyState = WebSocket.CLOSED;
  }
}

/** Keep the site for use without a network; its worker also isolates the page, which threads need. */
async function keepOffline() {
  const workers = navigator.serviceWorker;
  if (!workers) return;
  try {
    workers.addEventListener("message", ({ data }) => data.loading && events.dispatchEvent(new CustomEvent("loading", { detail: data.loading })));
    await workers.register(new URL("../sw.js", import.meta.url));
    await Promise.race([workers.ready, later(WAIT_MS)]);
    if (!workers.controller) await Promise.race([new Promise((done) => workers.addEventListener("controllerchange", done, { once: true })), later(CLAIM_MS)]);
    if (crossOriginIsolated || !workers.controller || sessionStorage.getItem(RELOADED)) return;
    sessionStorage.setItem(RELOADED, "1"); // once: inside another page it stays as it is
    location.reload();
    await new Promise(() => {});
  } catch {
    // without it everything works, with a network and by one thread
  }
}

const later = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
