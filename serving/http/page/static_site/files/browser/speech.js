// Where somebody speaks: Silero VAD's network, its rules, and the samples of its segments. As emotions/audio/speech.

import { joined } from "./windows.js";

const [FRAME, CONTEXT, UNITS, MOST_FRAMES] = [512, 64, 128, 512];
const RATE = 16000;
const [THRESHOLD, LOWER, SURE, SURE_FRAMES] = [0.5, 0.35, 0.97, 8];
const [LEAST_SPEECH, LEAST_SILENCE, PAD, LONGEST_UNSURE] = [0.25 * RATE, 0.3 * RATE, 0.1 * RATE, 10 * RATE];

/** The segments of one stream, from the probabilities of speech of its frames. */
export class Segmenter {
  constructor() {
    this.latest = [];
    this.sure = false;
    this.at = 0;
    this.start = this.silence = this.begin = this.waiting = null;
    this.settled = [];
  }

  /** What is certain of a segment whose end is not. */
  get open() {
    if (this.begin !== null) return { begin: this.begin, end: this.silence ?? this.at - FRAME };
    return this.waiting;
  }

  /** The first sample that a segment may still contain. */
  get needed() {
    return this.open?.begin ?? Math.max(0, (this.start ?? this.at) - PAD);
  }

  push(probabilities) {
    for (const each of probabilities) this.take(each);
    return this.given();
  }

  finish(samples) {
    if (this.start !== null) this.close(samples);
    if (this.waiting) this.settled.push({ begin: this.waiting.begin, end: Math.min(samples, this.waiting.end + PAD) });
    this.start = this.silence = this.begin = this.waiting = null;
    return this.given();
  }

  given() {
    return this.settled.splice(0);
  }

  take(probability) {
    const at = this.at;
    this.at += FRAME;
    if (probability >= THRESHOLD) {
      this.silence = null;
      this.start ??= at;
    }
    this.weigh(probability, at);
    if (probability < LOWER && this.start !== null) {
      this.silence ??= at;
      if (at - this.silence >= LEAST_SILENCE) this.close(this.silence);
    }
    this.settle(at);
  }

  weigh(probability, at) {
    if (this.start === null || this.sure) return;
    this.latest = [...this.latest, probability].slice(-SURE_FRAMES);
    this.sure = this.latest.length === SURE_FRAMES && this.latest.reduce((sum, each) => sum + each, 0) >= SURE * SURE_FRAMES;
    if (!this.sure) this.start = Math.max(this.start, at - LONGEST_UNSURE);
  }

  settle(at) {
    if (this.start !== null && this.begin === null && this.sure && (this.silence ?? at) - this.start > LEAST_SPEECH) this.begin = this.padded(this.start);
    const waiting = this.waiting;
    if (waiting && (this.start ?? at) - waiting.end >= 2 * PAD) {
      this.waiting = null;
      this.settled.push({ begin: waiting.begin, end: waiting.end + PAD });
    }
  }

  padded(start) {
    const before = this.waiting;
    if (!before) return Math.max(0, start - PAD);
    this.waiting = null;
    const shared = Math.min(Math.floor((start - before.end) / 2), PAD);
    this.settled.push({ begin: before.begin, end: before.end + shared });
    return start - shared;
  }

  close(end) {
    const start = this.start ?? 0;
    if (this.begin !== null || (this.sure && end - start > LEAST_SPEECH)) this.waiting = { begin: this.begin ?? this.padded(start), end };
    this.start = this.silence = this.begin = null;
    this.latest = [];
    this.sure = false;
  }
}

/** The speech of one stream: samples in parts of any size to segments. `run` is the network's session. */
export class SpeechDetector {
  constructor(run) {
    this.run = run;
    this.samples = 0;
    this.segmenter = new Segmenter();
    this.rest = this.context = new Float32Array(0);
    this.context = new Float32Array(CONTEXT);
    this.state = { h: new Float32Array(UNITS), c: new Float32Array(UNITS) };
  }

  async push(samples) {
    this.samples += samples.length;
    const held = joined([this.rest, samples]);
    const whole = held.length - (held.length % FRAME);
    this.rest = held.slice(whole);
    return this.segmenter.push(await this.probabilities(held.subarray(0, whole)));
  }

  async finish() {
    const missing = (FRAME - (this.rest.length % FRAME)) % FRAME;
    const last = this.segmenter.push(await this.probabilities(joined([this.rest, new Float32Array(missing)])));
    return [...last, ...this.segmenter.finish(this.samples)];
  }

  async probabilities(samples) {
    const found = [];
    for (let at = 0; at < samples.length; at += MOST_FRAMES * FRAME) found.push(...(await this.some(samples.subarray(at, at + MOST_FRAMES * FRAME))));
    return found;
  }

  async some(samples) {
    const frames = samples.length / FRAME;
    const input = new Float32Array(frames * (CONTEXT + FRAME));
    for (let frame = 0; frame < frames; frame += 1) {
      const before = frame ? samples.subarray(frame * FRAME - CONTEXT, frame * FRAME) : this.context;
      input.set(before, frame * (CONTEXT + FRAME));
      input.set(samples.subarray(frame * FRAME, (frame + 1) * FRAME), frame * (CONTEXT + FRAME) + CONTEXT);
    }
    this.context = samples.slice(-CONTEXT);
    const { probabilities, h, c } = await this.run(input, frames, this.state);
    this.state = { h, c };
    return probabilities;
  }
}

/** The samples of speech of one stream, of which only what may still be speech is held. */
export class SpeechPieces {
  constructor() {
    this.held = new Float32Array(0);
    this.offset = this.sent = 0;
  }

  /** Take the next samples and the segments that the detector closed with them, and give those that lie in segments. */
  push(samples, closed, segmenter) {
    this.held = joined([this.held, samples]);
    const pieces = closed.map((span) => this.piece(span, true));
    const open = segmenter.open;
    if (open && open.end - Math.max(open.begin, this.sent) >= 1) pieces.push(this.piece(open, false));
    const keep = Math.max(segmenter.needed, this.sent);
    this.held = this.held.slice(Math.max(0, keep - this.offset));
    this.offset = Math.max(keep, this.offset);
    return pieces;
  }

  piece({ begin, end }, last) {
    const first = Math.max(begin, this.sent);
    this.sent = Math.max(end, this.sent);
    return { begin, samples: this.held.slice(first - this.offset, this.sent - this.offset), last };
  }
}
