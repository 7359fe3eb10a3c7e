// WAV as people have it, to mono: plain PCM and float, chunks in any order, files cut off. Others are left to the browser.

const OPEN_SIZE = 0x7ffff000; // a size this large is a placeholder of a recorder that streams
const MOST_CHUNKS = 10000;
const [PCM, FLOAT, EXTENSIBLE] = [1, 3, 0xfffe];
const MOST_RATE = 768000;
const MOST_CHANNELS = 64;
const RIFF = ["RIFF", "RF64", "BW64"];

/** The header of a WAV file, or null where the bytes are none, or none that is read here. */
export function readWave(buffer) {
  const view = new DataView(buffer);
  if (view.byteLength < 12 || !RIFF.includes(name(view, 0)) || name(view, 8) !== "WAVE") return null;
  const found = chunks(view);
  if (!found.format || found.start === undefined) return null;
  const { tag, channels, rate, block, bits } = found.format;
  const known = (tag === PCM && [8, 16, 24, 32].includes(bits)) || (tag === FLOAT && [32, 64].includes(bits));
  const plain = known && block === (channels * bits) / 8 && channels > 0 && channels <= MOST_CHANNELS && rate > 0 && rate <= MOST_RATE;
  if (!plain) return null;
  const frames = Math.floor(found.size / block);
  const missing = Math.ceil((found.promised - found.size) / block) / rate;
  return { view, start: found.start, frames, channels, rate, tag, bits, missing: missing > 0 ? missing : 0 };
}

function chunks(view) {
  const found = {};
  let long = null;
  for (let at = 12, number = 0; at + 8 <= view.byteLength && number < MOST_CHUNKS; number += 1) {
    const kind = name(view, at);
    const size = view.getUint32(at + 4, true);
    const content = at + 8;
    if (kind === "ds64" && content + 16 <= view.byteLength) long = Number(view.getBigUint64(content + 8, true));
    if (kind === "fmt " && content + 16 <= view.byteLength) found.format = format(view, content, size);
    if (kind === "data") return { ...found, ...data(view, content, size, long) };
    at = content + size + (size % 2);
  }
  return found;
}

function format(view, at, size) {
  const tag = view.getUint16(at, true);
  const named = tag === EXTENSIBLE && size >= 26 && at + 26 <= view.byteLength ? view.getUint16(at + 24, true) : tag;
  return { tag: named, channels: view.getUint16(at + 2, true), rate: view.getUint32(at + 4, true), block: view.getUint16(at + 12, true), bits: view.getUint16(at + 14, true) };
}

function data(view, start, written, long) {
  const promised = written === 0xffffffff && long !== null ? long : written;
  const there = view.byteLength - start;
  const open = promised === 0 || (promised >= OPEN_SIZE && long === null);
  return open ? { start, size: there, promised: there } : { start, size: Math.min(there, promised), promised };
}

const name = (view, at) => String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + at, 4));

/** The mean of all channels of a WAV file, or one of them by its number from 1, as float32 in -1 to 1. */
export function monoOfWave(wave, channel = null) {
  const read = sampleReader(wave);
  const bytes = wave.bits / 8;
  const made = new Float32Array(wave.frames);
  const [first, behind] = channel === null ? [0, wave.channels] : [channel - 1, channel];
  for (let frame = 0; frame < wave.frames; frame += 1) {
    let sum = 0;
    for (let each = first; each < behind; each += 1) sum = Math.fround(sum + read(wave.start + (frame * wave.channels + each) * bytes));
    made[frame] = sum / (behind - first);
  }
  return clipped(made);
}

/** What reads the sample at a byte of a WAV file, in -1 to 1. */
export function sampleReader({ view, tag, bits }) {
  const readers = {
    8: (at) => (view.getUint8(at) - 128) / 128,
    16: (at) => view.getInt16(at, true) / 32768,
    24: (at) => (view.getUint16(at, true) + view.getInt8(at + 2) * 65536) / 8388608,
    32: (at) => view.getInt32(at, true) / 2147483648,
  };
  const floats = { 32: (at) => view.getFloat32(at, true), 64: (at) => view.getFloat64(at, true) };
  return (tag === FLOAT ? floats : readers)[bits];
}

/** The mean of channels that a browser has decoded, or one of them by its number from 1. */
export function monoOf(channels, channel = null) {
  if (channel !== null || channels.length === 1) return clipped(channels[(channel ?? 1) - 1].slice());
  const made = new Float32Array(channels[0].length);
  for (const each of channels) for (let at = 0; at < made.length; at += 1) made[at] += each[at];
  for (let at = 0; at < made.length; at += 1) made[at] /= channels.length;
  return clipped(made);
}

function clipped(waveform) {
  const peak = peakOf(waveform);
  if (peak > 1 && peak < Infinity) for (let at = 0; at < waveform.length; at += 1) waveform[at] = Math.max(-1, Math.min(1, waveform[at]));
  return waveform;
}

/** The largest magnitude; NaN where a sample is none. */
export function peakOf(waveform) {
  let peak = 0;
  for (const each of waveform) {
    const size = Math.abs(each);
    if (!(size <= peak)) peak = size;
    if (Number.isNaN(peak)) return NaN;
  }
  return peak;
}
