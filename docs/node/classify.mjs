// A bundle's graph on one WAV file, with onnxruntime-node alone: node classify.mjs BUNDLE CLIP.wav
// The clip: mono, 16 bit, 16 kHz, no longer than the bundle's window.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import ort from "onnxruntime-node";

const [bundle, clip] = process.argv.slice(2);
const manifest = JSON.parse(readFileSync(join(bundle, "manifest.json"), "utf8"));

function samplesOf(wav) {
  let at = 12; // after RIFF, size, WAVE
  while (wav.toString("latin1", at, at + 4) !== "data") at += 8 + wav.readUInt32LE(at + 4);
  const count = wav.readUInt32LE(at + 4) / 2;
  return Float32Array.from({ length: count }, (_, i) => wav.readInt16LE(at + 8 + 2 * i) / 32768);
}

const samples = samplesOf(readFileSync(clip));
const width = manifest.window.dynamic ? samples.length : manifest.window.samples;
const waveform = new Float32Array(width);
waveform.set(samples.subarray(0, width));
const length = BigInt64Array.of(BigInt(Math.min(samples.length, width)));

const session = await ort.InferenceSession.create(join(bundle, manifest.variants.fp32.file));
const answers = await session.run({
  waveform: new ort.Tensor("float32", waveform, [1, width]),
  length: new ort.Tensor("int64", length, [1]),
});
const named = Object.entries(manifest.targets).map(([target, labels]) => [
  target,
  Object.fromEntries(labels.map((label, i) => [label, answers[target].data[i]])),
]);
console.log(JSON.stringify(Object.fromEntries(named)));
