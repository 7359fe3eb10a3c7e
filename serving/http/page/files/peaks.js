// The outline of a recording: of plain WAV read here, as decoding an hour of it takes long.

import { readWave, sampleReader } from "./pcm.js";

const POINTS = 8000;
const LOOKED_AT = 60; // samples for a point: an outline, no measurement

/** Outline and seconds of a WAV file: { peaks, duration }; null of others, which the browser decodes. */
export async function outlineOf(file) {
  const head = readWave(await file.slice(0, 12).arrayBuffer().then((start) => (isRiff(start) ? file.arrayBuffer() : start)));
  if (!head?.frames) return null;
  const read = sampleReader(head);
  const bytes = (head.bits / 8) * head.channels;
  const points = Math.min(POINTS, head.frames);
  const peaks = Float32Array.from({ length: points }, (_, point) => {
    const [first, behind] = [point, point + 1].map((each) => Math.floor((each * head.frames) / points));
    const step = Math.max(1, Math.floor((behind - first) / LOOKED_AT));
    let peak = 0;
    for (let frame = first; frame < behind; frame += step) peak = Math.max(peak, Math.abs(read(head.start + frame * bytes)));
    return Number.isFinite(peak) ? peak : 0;
  });
  return { peaks, duration: head.frames / head.rate };
}

const isRiff = (start) => String.fromCharCode(...new Uint8Array(start)).slice(0, 2) === "RI";
