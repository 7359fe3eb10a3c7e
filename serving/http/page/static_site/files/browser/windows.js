// Windows: cut a recording, and pool the answers to its windows. The same rules as emotions/audio/windows.py.

/** First samples of a recording's windows; the last ones are moved back so that none is short. */
export function windowStarts(samples, { samples: width, hop_samples: hop }) {
  if (samples <= width) return [0];
  const starts = [];
  for (let at = 0; at < samples; at += hop) {
    starts.push(Math.min(at, samples - width));
    if (at >= samples - width) break;
  }
  return starts;
}

/** Cuts a recording while it comes: a window is { samples, length, start }. */
export class WindowSplitter {
  constructor(spec) {
    this.spec = spec;
    this.samples = this.offset = this.done = 0;
    this.held = new Float32Array(0);
  }

  /** Take the next samples, and give the windows that are certain by them; with `last`, all that are left. */
  push(part, last = false) {
    this.held = joined([this.held, part]);
    this.samples += part.length;
    const { samples: width, hop_samples: hop } = this.spec;
    const starts = last ? windowStarts(this.samples, this.spec).slice(this.done) : this.certain();
    this.done += starts.length;
    const windows = starts.map((start) => this.at(start));
    const keep = Math.max(this.offset, Math.min(this.done * hop, this.samples - width));
    this.held = this.held.slice(keep - this.offset);
    this.offset = keep;
    return windows;
  }

  /** The last W samples in one window, or as many as there are. */
  latest() {
    return this.at(Math.max(0, this.samples - this.spec.samples));
  }

  certain() {
    const starts = [];
    for (let at = this.done * this.spec.hop_samples; at + this.spec.samples <= this.samples; at += this.spec.hop_samples) starts.push(at);
    return starts;
  }

  at(start) {
    const samples = this.held.slice(start - this.offset, start - this.offset + this.spec.samples);
    return { samples, length: samples.length, start };
  }
}

/** Several parts as one. */
export function joined(parts) {
  const made = new Float32Array(parts.reduce((sum, each) => sum + each.length, 0));
  let at = 0;
  for (const each of parts) {
    made.set(each, at);
    at += each.length;
  }
  return made;
}

/** Weight of each window in the answer of its recording: each sample counts once, shared by the windows that cover it. */
export function windowWeights(windows, hop, pooling) {
  if (pooling === "mean") return windows.map(() => 1);
  if (windows.length === 1) return [windows[0].length];
  const [before, last] = windows.slice(-2);
  const counted = windows.map(() => 1);
  counted.fill((1 + Math.min(1, (last.start - before.start) / hop)) / 2, -2);
  const edges = [...new Set(windows.flatMap(({ start, length }) => [start, start + length]))].sort((a, b) => a - b);
  const place = new Map(edges.map((edge, at) => [edge, at]));
  const shared = shares(windows, counted, edges, place);
  return windows.map(({ start, length }, at) => counted[at] * (shared[place.get(start + length)] - shared[place.get(start)]));
}

/** For each edge the samples before it, each divided by how many windows cover it. */
function shares(windows, counted, edges, place) {
  const changes = edges.map(() => 0);
  windows.forEach(({ start, length }, at) => {
    changes[place.get(start)] += counted[at];
    changes[place.get(start + length)] -= counted[at];
  });
  const shared = [0];
  let covering = 0;
  for (let at = 0; at + 1 < edges.length; at += 1) {
    covering += changes[at];
    shared.push(shared[at] + (covering > 1e-9 ? (edges[at + 1] - edges[at]) / covering : 0));
  }
  return shared;
}

/** Pool (windows, classes) into the classes of the recording. */
export function pool(answers, weights) {
  if (answers.length === 1) return [...answers[0]];
  const whole = weights.reduce((sum, each) => sum + each, 0);
  return Array.from(answers[0], (_, name) => Math.fround(answers.reduce((sum, each, at) => sum + weights[at] * each[name], 0) / whole));
}
