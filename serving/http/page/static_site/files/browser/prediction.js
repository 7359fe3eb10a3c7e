// From samples to what a service would answer: windows, the model, pooling, thresholds. As emotions/runtime/prediction.py.

import { Refused } from "../requests.js";
import { peakOf } from "../pcm.js";
import { SpeechDetector, SpeechPieces } from "./speech.js";
import { pool, WindowSplitter, windowWeights } from "./windows.js";

const RATE = 16000;
const [LEAST_SAMPLES, LEAST_PEAK, MOST_PEAK] = [400, 1e-4, 1e6];
const MINUTE = 60 * RATE;

/** The answer to a waveform at 16 kHz, of all of it or of its speech. Throws Refused where there is nothing to classify. */
export async function predicted(model, waveform, { speech = false, warnings = [] } = {}) {
  checkAudible(waveform);
  const utterances = speech ? await utterancesOf(model, waveform) : [utterance(model, 0, waveform, waveform.length)];
  if (!utterances.length) throw new Refused(422, "no_speech", `no speech in its ${(waveform.length / RATE).toFixed(2)} s`);
  for (const each of utterances) each.answers = await model.run(each.windows);
  const all = pooledOver(model, utterances);
  return {
    ...scores(model, all),
    ...unknowns(model, all),
    duration_sec: waveform.length / RATE,
    truncated: warnings.some((each) => each.startsWith("truncated:")),
    warnings,
    windows: utterances.flatMap((each) => each.windows.map((window, at) => part(model, window.start, window.start + window.length, rowOf(each.answers, at)))),
    ...(speech && spoken(model, utterances)),
    bundle: model.about.described.bundle,
  };
}

/** Refuse what is too short, silent, or no number, as the kernel does. */
export function checkAudible(waveform) {
  if (waveform.length < LEAST_SAMPLES) throw new Refused(422, "too_short", `holds ${waveform.length} samples at 16 kHz, at least ${LEAST_SAMPLES} are needed`);
  const peak = peakOf(waveform);
  if (!(peak <= MOST_PEAK)) throw new Refused(422, "not_finite", "holds a sample that is no number, or far beyond full scale");
  if (peak < LEAST_PEAK) throw new Refused(422, "silent", `nothing to hear: in mono its peak is ${peak.toExponential(1)}, at least ${LEAST_PEAK.toExponential(0)} is needed`);
}

/** A part of a recording that is pooled by itself: all of it, or a segment of speech. */
function utterance(model, begin, samples, end) {
  const windows = new WindowSplitter(model.about.window).push(samples, true);
  return { begin, end, windows: windows.map((each) => ({ ...each, start: each.start + begin })), power: powerOf(samples) };
}

async function utterancesOf(model, waveform) {
  const found = new Map();
  const detector = new SpeechDetector(await finderOf(model));
  const pieces = new SpeechPieces();
  const take = (some) => some.forEach(({ begin, samples }) => found.set(begin, [...(found.get(begin) ?? []), samples]));
  for (let at = 0; at < waveform.length; at += MINUTE) {
    const block = waveform.subarray(at, at + MINUTE);
    take(pieces.push(block, await detector.push(block), detector.segmenter));
  }
  take(pieces.push(new Float32Array(0), await detector.finish(), detector.segmenter));
  return [...found].map(([begin, parts]) => {
    const end = begin + parts.reduce((sum, each) => sum + each.length, 0);
    return utterance(model, begin, waveform.subarray(begin, end), end);
  });
}

/** The network that finds speech. Throws Refused where this site was written without it. */
export async function finderOf(model) {
  const run = await model.speech();
  if (!run) throw new Refused(501, "not_installed", "this site was written without the network that finds speech");
  return run;
}

/** Pool windows: those of an utterance share its length. */
function pooledOver(model, utterances) {
  const weights = utterances.flatMap((each) => {
    const inside = weightsOf(model, each.windows);
    if (utterances.length === 1) return inside;
    const sum = inside.reduce((all, one) => all + one, 0);
    return inside.map((one) => (one / sum) * (each.end - each.begin));
  });
  return mapped(model.about.outputs, (target) => pool(utterances.flatMap((each) => each.answers[target]), weights));
}

const weightsOf = (model, windows) => windowWeights(windows, model.about.window.hop_samples, model.about.pooling);
const rowOf = (answers, at) => mapped(answers, (target) => answers[target][at]);

/** What is said of an utterance that has ended. */
export function segment(model, { begin, end, windows, answers }) {
  return part(model, begin, end, mapped(answers, (target) => pool(answers[target], weightsOf(model, windows))));
}

/** What is said of one window. */
export const windowAnswer = (model, { start, length }, answers) => {
  const row = rowOf(answers, 0);
  return { ...scores(model, row), ...unknowns(model, row), start, end: start + length };
};

function spoken(model, utterances) {
  const segments = utterances.map((each) => ({ ...segment(model, each), ...level(each.power) }));
  return { speech_sec: segments.reduce((sum, each) => sum + each.end - each.start, 0), segments };
}

const level = (power) => (power > 0 ? { level_dbfs: 10 * Math.log10(power) } : {});
const powerOf = (samples) => samples.reduce((sum, each) => sum + each * each, 0) / Math.max(1, samples.length);

function part(model, begin, end, answers) {
  const { probabilities, values } = scores(model, answers);
  return { start: begin / RATE, end: end / RATE, probabilities, ...(values && { values }) };
}

/** Probabilities and values by name, and the label of the first target. */
export function scores({ about: { outputs, ranges } }, answers) {
  const named = (target) => Object.fromEntries(outputs[target].map((name, at) => [name, answers[target][at]]));
  const probabilities = mapped(outputs, named, (target) => !(target in ranges));
  const values = mapped(outputs, named, (target) => target in ranges);
  const [first] = Object.values(probabilities);
  const best = first ? Object.entries(first).reduce((a, b) => (b[1] > a[1] ? b : a)) : [null, null];
  return { label: best[0], confidence: best[1], probabilities, ...(Object.keys(values).length && { values }) };
}

function unknowns({ about: { thresholds, outputs, ranges } }, answers) {
  const found = mapped(thresholds, (target) => thresholds[target] === null || Math.max(...answers[target]) < thresholds[target]);
  const first = Object.keys(outputs).find((target) => !(target in ranges));
  return Object.keys(found).length ? { unknown: found[first] ?? false, unknowns: found } : {};
}

const mapped = (targets, value, wanted = () => true) => Object.fromEntries(Object.keys(targets).filter(wanted).map((target) => [target, value(target)]));
