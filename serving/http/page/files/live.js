// The microphone: heard, sent over /v1/stream, and drawn while it is answered.

import { colours, drawBars, drawPlane, partsTable, shownLabel } from "./parts.js";
import { openStream } from "./service.js";
import { text } from "./text.js";

const SPAN_MS = 60000;
const INTERVAL_MS = 500;
const $ = (id) => document.getElementById(id);
let running = null;

/** Let the button start and stop the microphone. */
export function startLive(model) {
  $("record").addEventListener("click", () => (running ? running.stop() : begin(model)));
}

async function begin(model) {
  if (!navigator.mediaDevices?.getUserMedia) return say(text("speak.missing"));
  try {
    const source = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
    running = new Session(model, source);
    await running.open();
  } catch (error) {
    say(error.name === "NotAllowedError" ? text("speak.refused") : text("speak.error", { reason: error.message }));
    running?.end();
  }
}

function say(sentence) {
  $("live-state").textContent = sentence;
}

class Session {
  constructor(model, source) {
    this.model = model;
    this.source = source;
    this.answers = [];
    this.vad = true;
    $("record").textContent = text("speak.stop");
    say(text("speak.connecting"));
  }

  async open() {
    this.context = new AudioContext();
    this.connect(); // while the worklet is loaded
    await this.context.audioWorklet.addModule(new URL("./worklet.js", import.meta.url));
    this.gather = new AudioWorkletNode(this.context, "gather", { channelCount: 1, channelCountMode: "explicit", numberOfOutputs: 0 });
    this.context.createMediaStreamSource(this.source).connect(this.gather);
    this.gather.port.onmessage = ({ data }) => this.send(data);
    $("live").hidden = false;
    $("live-segments").replaceChildren();
    this.draw();
  }

  connect() {
    const socket = openStream();
    this.socket = socket;
    this.began = this.sentMs = 0;
    this.spokenMs = null;
    socket.onopen = () => socket.send(JSON.stringify({ type: "session.update", session: this.configuration() }));
    socket.onmessage = ({ data }) => socket === this.socket && this.heard(JSON.parse(data));
    socket.onclose = () => socket === this.socket && this.end(running === this ? text("speak.error", { reason: text("notice.gone") }) : "");
  }

  configuration() {
    return { rate: this.context.sampleRate, encoding: "pcm_f32le", channels: 1, interval_ms: INTERVAL_MS, vad: this.vad };
  }

  send(samples) {
    if (!this.ready || this.socket.readyState !== WebSocket.OPEN) return;
    this.sentMs += (1000 * samples.length) / this.context.sampleRate;
    this.began = Math.min(this.began || Infinity, performance.now() - this.sentMs); // a busy page gets blocks late
    this.socket.send(samples);
  }

  heard(message) {
    const act = {
      "session.updated": () => this.listen(),
      "speech.started": () => this.spoken(message),
      "speech.stopped": () => say(text("speak.listening")),
      measurement: () => this.measured(message),
      "session.closed": () => this.closed(message),
      error: () => this.failed(message),
    }[message.type];
    act?.();
  }

  listen() {
    this.ready = true;
    say(text("speak.listening"));
  }

  spoken({ audio_start_ms: start }) {
    this.spokenMs = start;
    say(text("speak.speech"));
  }

  measured(message) {
    const now = performance.now() - this.began;
    const lag = now - message.audio_end_ms;
    if (this.spokenMs !== null) $("live").dataset.first = (now - this.spokenMs).toFixed(0); // from speech to its first bar
    this.spokenMs = null;
    this.answers.push(message);
    while (this.answers[0].audio_end_ms < message.audio_end_ms - SPAN_MS) this.answers.shift();
    drawBars($("live-bars"), message);
    drawPlane($("live-plane"), message, this.model.dimensions ?? {});
    const label = shownLabel(message);
    say(text("speak.lag", { label, lag: Math.max(0, lag).toFixed(0) }));
    $("live").dataset.lag = lag.toFixed(0);
    $("live-timeline").setAttribute("aria-label", label);
  }

  failed({ code, message }) {
    if (code === "not_installed" && this.vad) {
      this.vad = this.ready = false; // without the package that finds speech all of the audio is measured
      const old = this.socket;
      this.connect();
      old.close();
    } else if (code !== "invalid_audio_frame") {
      this.reason = message;
    }
  }

  closed({ audio_ms: milliseconds, segments }) {
    const parts = segments.map((each) => ({ ...each, start: each.audio_start_ms / 1000, end: each.audio_end_ms / 1000 }));
    $("live-segments").replaceChildren(parts.length ? partsTable(parts) : "");
    const seconds = (milliseconds / 1000).toFixed(1);
    this.end(this.reason ? text("speak.error", { reason: this.reason }) : text("speak.ended", { seconds }));
  }

  stop() {
    this.ready = false;
    this.silence();
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "session.close" }));
    else this.end("");
  }

  silence() {
    for (const track of this.source.getTracks()) track.stop();
    this.context?.state !== "closed" && this.context?.close();
  }

  end(sentence) {
    if (running === this) running = null;
    this.silence();
    this.socket?.close();
    $("record").textContent = text("speak.start");
    if (sentence) say(sentence);
  }

  /** Draw where a pixel has passed, or something was answered: not at each frame of the screen, as the page has more to do. */
  draw() {
    if (running !== this) return;
    const now = this.began ? performance.now() - this.began : 0;
    const canvas = $("live-timeline");
    const pixel = Math.floor((now * canvas.clientWidth) / SPAN_MS);
    const drawn = `${pixel} ${canvas.clientWidth} ${this.answers.at(-1)?.audio_end_ms}`;
    if (drawn !== this.drawn) drawTimeline(canvas, this.answers, now);
    this.drawn = drawn;
    requestAnimationFrame(() => this.draw());
  }
}

/** Draw the answers of the last minute as stacked shares, the newest at the right. */
function drawTimeline(canvas, answers, now) {
  const scale = devicePixelRatio;
  const [width, height] = [canvas.clientWidth * scale, canvas.clientHeight * scale];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  const colour = colours();
  const x = (milliseconds) => width * (1 - (now - milliseconds) / SPAN_MS);
  for (const { audio_end_ms: end, probabilities } of answers) {
    const left = x(end - INTERVAL_MS);
    let top = 0;
    for (const [label, chance] of Object.entries(Object.values(probabilities)[0] ?? {})) {
      pen.fillStyle = colour(label);
      pen.fillRect(left, top, Math.max(scale, x(end) - left), chance * height);
      top += chance * height;
    }
  }
}
