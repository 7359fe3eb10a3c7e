// Live audio in this browser: what /v1/stream of a service would answer, of rolling windows.

import { finderOf, scores, segment, windowAnswer } from "./prediction.js";
import { peakOf } from "../pcm.js";
import { Resampler } from "./resampler.js";
import { SpeechDetector, SpeechPieces } from "./speech.js";
import { WindowSplitter } from "./windows.js";

const RATE = 16000;
const [LEAST_SAMPLES, LEAST_PEAK] = [400, 1e-4];

/** One stream of one channel; `told` takes the messages. */
export class LiveSession {
  constructor(model, { rate, interval_ms: interval, vad }, told) {
    Object.assign(this, { model, vad, told });
    this.resampler = new Resampler(rate, RATE);
    this.interval = (interval * RATE) / 1000;
    this.pieces = new SpeechPieces();
    this.utterance = null;
    this.segments = [];
    this.samples = 0;
    this.measuring = false;
  }

  /** Load what finds speech, where it is wanted. */
  async open() {
    this.detector = this.vad ? new SpeechDetector(await finderOf(this.model)) : null;
  }

  /** Take the next samples, at the rate of the device. */
  async push(samples) {
    await this.take(this.resampler.push(samples));
  }

  async take(samples) {
    this.samples += samples.length;
    if (!this.detector) return this.extend({ begin: 0, samples, last: false });
    for (const piece of this.pieces.push(samples, await this.detector.push(samples), this.detector.segmenter)) await this.extend(piece);
  }

  /** The end of the stream: its segments. */
  async finish() {
    await this.take(this.resampler.finish());
    const rest = new Float32Array(0);
    if (this.detector) {
      for (const piece of this.pieces.push(rest, await this.detector.finish(), this.detector.segmenter)) await this.extend(piece);
    } else if (this.samples >= LEAST_SAMPLES) {
      await this.extend({ begin: 0, samples: rest, last: true });
    }
    this.told({ type: "session.closed", audio_ms: (1000 * this.samples) / RATE, segments: this.segments });
  }

  async extend({ begin, samples, last }) {
    const it = (this.utterance ??= this.start(begin));
    it.peak = Math.max(it.peak, peakOf(samples));
    await this.classify(it, it.splitter.push(samples, last));
    if (last) return this.stop(it);
    if (it.splitter.samples < it.due || this.measuring) return;
    it.due = it.splitter.samples + this.interval;
    this.measure(it);
  }

  start(begin) {
    if (this.detector) this.told({ type: "speech.started", audio_start_ms: milliseconds(begin) });
    return { begin, splitter: new WindowSplitter(this.model.about.window), windows: [], answers: null, due: this.interval, peak: 0 };
  }

  async classify(it, windows) {
    if (!windows.length) return;
    const found = await this.model.run(windows);
    it.windows.push(...windows.map((each) => ({ start: each.start + it.begin, length: each.length })));
    it.answers = Object.fromEntries(Object.entries(found).map(([target, rows]) => [target, [...(it.answers?.[target] ?? []), ...rows]]));
  }

  /** Answer the latest window; while that lasts no other is, so that a slow machine does not fall behind. */
  async measure(it) {
    const window = it.splitter.latest();
    if (window.length < LEAST_SAMPLES || peakOf(window.samples) < LEAST_PEAK) return;
    this.measuring = true;
    try {
      const answers = await this.model.run([window]);
      const { start, end, ...said } = windowAnswer(this.model, { start: window.start + it.begin, length: window.length }, answers);
      this.told({ type: "measurement", trigger: "interval", channel: 0, audio_start_ms: milliseconds(start), audio_end_ms: milliseconds(end), ...said });
    } finally {
      this.measuring = false;
    }
  }

  stop(it) {
    this.utterance = null;
    const end = it.begin + it.splitter.samples;
    if (this.detector) this.told({ type: "speech.stopped", audio_start_ms: milliseconds(it.begin), audio_end_ms: milliseconds(end) });
    if (it.peak < LEAST_PEAK) return;
    if (this.detector) this.segments.push(this.kept(it.begin, end, segment(this.model, { ...it, end })));
    else it.windows.forEach(({ start, length }, at) => this.segments.push(this.kept(start, start + length, scores(this.model, rowOf(it.answers, at)))));
  }

  kept(start, end, { probabilities, values }) {
    const [first] = Object.values(probabilities);
    const [label, confidence] = first ? Object.entries(first).reduce((a, b) => (b[1] > a[1] ? b : a)) : [null, null];
    return { channel: 0, audio_start_ms: milliseconds(start), audio_end_ms: milliseconds(end), label, confidence, probabilities, ...(values && { values }) };
  }
}

const rowOf = (answers, at) => Object.fromEntries(Object.entries(answers).map(([target, rows]) => [target, rows[at]]));
const milliseconds = (samples) => (1000 * samples) / RATE;
