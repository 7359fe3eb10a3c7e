// The worker: the model, away from the page, so that the page stays quick. A message is a request with its number.

import { Refused } from "../requests.js";
import { LiveSession } from "./live.js";
import { Model } from "./model.js";
import { monoOf, monoOfWave, readWave } from "../pcm.js";
import { predicted } from "./prediction.js";
import { resampled } from "./resampler.js";

const RATE = 16000;
const MOST_CHANNELS = 8;
let model = null;
let session = null;
let streamed = Promise.resolve();

const acts = {
  async open() {
    model = await Model.open((loading) => postMessage({ loading }));
    return { ...model.described, milliseconds: model.milliseconds };
  },

  /** Classify a recording: the bytes of a WAV, or the channels that the browser has decoded. */
  async predict({ buffer, channels, rate, options }) {
    const wave = buffer && readWave(buffer);
    if (buffer && !wave) return null; // the page decodes it
    const recording = wave ? ofWave(wave) : { rate, count: channels.length, frames: channels[0].length, mono: (number) => monoOf(channels, number), warnings: [] };
    if (!recording.frames) throw new Refused(422, "not_audio", "has no samples");
    checkLength(recording.frames / recording.rate);
    return options.split ? ofChannels(recording, options) : answer(recording, null, options);
  },

  async stream({ configuration }) {
    session = new LiveSession(model, configuration, (message) => postMessage({ message }));
    await session.open();
  },

  async audio({ samples }) {
    await session?.push(samples);
  },

  async close() {
    await session?.finish();
    session = null;
  },
};

function ofWave(wave) {
  const warnings = wave.missing ? [`truncated: is cut off: ${wave.missing.toFixed(2)} s of what its header promises are missing`] : [];
  return { rate: wave.rate, count: wave.channels, frames: wave.frames, mono: (number) => monoOfWave(wave, number), warnings };
}

function checkLength(seconds) {
  const most = model.about.limits.max_seconds;
  if (seconds > most) throw new Refused(413, "too_long", `longer than ${most} s`);
}

async function answer({ rate, mono, warnings }, channel, { speech }) {
  return predicted(model, resampled(mono(channel), rate, RATE), { speech, warnings });
}

async function ofChannels(recording, options) {
  if (recording.count > MOST_CHANNELS) throw new Refused(413, "too_many_channels", `at most ${MOST_CHANNELS} channels are taken, this one has ${recording.count}`);
  const channels = [];
  for (let channel = 1; channel <= recording.count; channel += 1) {
    const found = await answer(recording, channel, options).catch((error) => ({ error: told(error) }));
    channels.push({ channel, speaker: "", ...found });
  }
  if (channels.every((each) => each.error)) throw new Refused(422, channels[0].error.code, channels[0].error.message);
  return { channels, duration_sec: recording.frames / recording.rate };
}

const told = (error) => ({ status: error.status ?? 500, code: error.code ?? "internal", message: error instanceof Error ? error.message : String(error) });

onmessage = ({ data: { number, kind, ...request } }) => {
  const live = kind === "stream" || kind === "audio" || kind === "close";
  const done = live ? (streamed = streamed.catch(() => {}).then(() => acts[kind](request))) : acts[kind](request);
  done.then((result) => postMessage({ number, result }), (error) => postMessage({ number, error: told(error) }));
};
