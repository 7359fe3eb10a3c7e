// The model: ONNX Runtime in this browser, the bundle's probe replayed before anything is answered.

import { Refused } from "../requests.js";

const BATCH = 8; // windows of one run
const SITE = new URL("../../", import.meta.url);
const MOST_THREADS = 4;
const GPU_MS = 30000; // for a GPU to load the model and to answer its probe

/** A file of the site, with how much of it has come. */
async function file(path, told = () => {}) {
  const answer = await fetch(new URL(path, SITE));
  if (!answer.ok) throw new Refused(answer.status, "incomplete", `${path} of this site cannot be read (${answer.status})`);
  const parts = [];
  let done = 0;
  for (const reader = answer.body.getReader(); ; ) {
    const { value, done: ended } = await reader.read();
    if (ended) break;
    parts.push(value);
    told((done += value.length));
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

export const json = async (path) => JSON.parse(new TextDecoder().decode(await file(path)));

/** A model that has answered its probe as it did at export. */
export class Model {
  constructor(ort, about) {
    Object.assign(this, { ort, about, aside: "" });
    this.waiting = Promise.resolve();
  }

  /** Load a model. Throws Refused where a file is altered, or where it does not answer its probe as at export. */
  static async open(told) {
    const about = await json("model/model.json");
    const content = await file(about.file, (done) => told({ megabytes: megabytes(about.bytes), done: megabytes(done) }));
    await check(content, about.sha256, about.file);
    if (!about.webgpu) return Model.with("wasm", content, about);
    let begun = null;
    try {
      await findGpu();
      begun = Model.with("webgpu", content, about);
      return await inTime(begun, GPU_MS);
    } catch (error) {
      begun?.then((late) => late.session.release()).catch(() => {}); // one that comes too late
      const model = await Model.with("wasm", content, about);
      model.aside = `; WebGPU is not used: ${error.code === "probe" ? "it answers the probe otherwise than at export" : error.message ?? error}`;
      return model;
    }
  }

  /** A model on a device, once it has answered its probe there. Throws Refused. */
  static async with(provider, content, about) {
    try {
      const model = new Model(await runtime(provider), about);
      model.provider = provider;
      model.session = await model.ort.InferenceSession.create(content, { executionProviders: [provider], graphOptimizationLevel: "all", logSeverityLevel: 3 });
      await model.replay();
      model.milliseconds = await model.timed();
      return model;
    } catch (error) {
      throw error instanceof Refused ? error : new Refused(500, "model", `the model cannot be run by this browser: ${error.message ?? error}`);
    }
  }

  /** What the page is told of the model, as /v1/model of a service has it. */
  get described() {
    const threads = this.ort.env.wasm.numThreads;
    const device = this.provider === "wasm" ? `wasm, ${threads} ${threads === 1 ? "thread" : "threads"}` : this.provider;
    return { ...this.about.described, device: device + this.aside, variant: this.about.variant, limits: this.about.limits, speech: Boolean(this.about.speech) };
  }

  /** Compare the answers to the bundle's probe with those of the export. */
  async replay() {
    const { width, lengths, answers } = await json("model/probe.json");
    const bytes = await file("model/probe.f32");
    const samples = new Float32Array(bytes.buffer, 0, lengths.length * width);
    const found = await this.run(lengths.map((length, at) => ({ samples: samples.subarray(at * width, (at + 1) * width), length })));
    for (const [target, expected] of Object.entries(answers)) this.compare(target, expected, found[target]);
  }

  /** Milliseconds of one whole window, once the first runs are over: those are made by code that the browser has not optimised yet. */
  async timed() {
    const { samples: width } = this.about.window;
    const samples = Float32Array.from({ length: width }, (_, at) => Math.sin(at / 7) / 2);
    const began = performance.now();
    await this.run([{ samples, length: width }]);
    return performance.now() - began;
  }

  compare(target, expected, found) {
    const [low, high] = this.about.ranges[target] ?? [0, 1];
    const differences = expected.flatMap((row, at) => row.map((value, name) => Math.abs(found[at][name] - value) / (high - low)));
    const largest = differences.reduce((most, each) => (each <= most ? most : each), 0); // NaN is kept
    if (largest <= this.about.tolerance) return;
    const how = Number.isFinite(largest) ? `differs by ${largest.toExponential(1)}, at most ${this.about.tolerance.toExponential(1)} is allowed` : "it answers NaN or infinity";
    throw new Refused(500, "probe", `In this browser the model answers its probe otherwise than at export (${target}: ${how}). It gives no answers here.`);
  }

  /** The answers to windows: target -> a row a window. One batch at a time, as the graph is not for two. */
  run(windows) {
    const done = this.waiting.then(() => this.all(windows));
    this.waiting = done.catch(() => {});
    return done;
  }

  async all(windows) {
    const found = Object.fromEntries(Object.keys(this.about.outputs).map((target) => [target, []]));
    for (let at = 0; at < windows.length; at += BATCH) {
      const answers = await this.batch(windows.slice(at, at + BATCH));
      for (const [target, rows] of Object.entries(found)) rows.push(...answers[target]);
    }
    return found;
  }

  async batch(windows) {
    const { dynamic, samples } = this.about.window;
    const width = dynamic ? Math.max(...windows.map((each) => each.samples.length)) : samples;
    const waveform = new Float32Array(windows.length * width);
    windows.forEach((each, at) => waveform.set(each.samples, at * width));
    const feeds = {
      waveform: new this.ort.Tensor("float32", waveform, [windows.length, width]),
      length: new this.ort.Tensor("int64", BigInt64Array.from(windows, (each) => BigInt(each.length)), [windows.length]),
    };
    const answers = await this.session.run(feeds, Object.keys(this.about.outputs));
    return Object.fromEntries(Object.entries(answers).map(([target, tensor]) => [target, rows(tensor)]));
  }

  /** The network that finds speech, or null where the site has none. */
  speech() {
    this.finder ??= this.about.speech ? finder(this.ort, this.about.speech) : Promise.resolve(null);
    return this.finder;
  }
}

function rows({ data, dims: [count, width] }) {
  return Array.from({ length: count }, (_, at) => data.slice(at * width, (at + 1) * width));
}

/** ONNX Runtime for a device; threads where the page is isolated from others.

    Half of the cores, as threads wait for each other by spinning: one that has to share its core holds up the others at each of the graph's operators. */
async function runtime(provider) {
  const ort = await import(`../../runtime/ort.${provider}.min.mjs`);
  ort.env.wasm.wasmPaths = new URL("runtime/", SITE).href;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(MOST_THREADS, Math.ceil((navigator.hardwareConcurrency || 1) / 2)) : 1;
  ort.env.logLevel = "error";
  return ort;
}

/** Throws where the browser has no GPU for pages, or one that is computed by the CPU, which takes longer than wasm. */
async function findGpu() {
  if (!self.navigator?.gpu) throw new Error("this browser does not have it");
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter) throw new Error("no GPU was found");
  if (adapter.info?.isFallbackAdapter) throw new Error("the CPU stands in for a GPU");
}

/** What a promise gives, unless that takes too long. */
function inTime(promise, milliseconds) {
  const late = new Promise((_, failed) => setTimeout(() => failed(new Error(`no answer within ${milliseconds / 1000} s`)), milliseconds));
  return Promise.race([promise, late]);
}

async function finder(ort, { file: path, sha256 }) {
  const content = await file(path);
  await check(content, sha256, path);
  const session = await ort.InferenceSession.create(content, { executionProviders: ["wasm"] });
  return async (input, frames, { h, c }) => {
    if (!frames) return { probabilities: [], h, c };
    const tensor = (data, dims) => new ort.Tensor("float32", data, dims);
    const feeds = { input: tensor(input, [frames, input.length / frames]), h: tensor(h, [1, 1, h.length]), c: tensor(c, [1, 1, c.length]) };
    const { speech_probs: found, hn, cn } = await session.run(feeds);
    return { probabilities: found.data, h: hn.data, c: cn.data };
  };
}

/** Refuse a file that is not the one that was exported; browsers hash on https and on localhost alone. */
async function check(content, expected, path) {
  if (!self.crypto?.subtle) return;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const found = Array.from(digest, (each) => each.toString(16).padStart(2, "0")).join("");
  if (found !== expected) throw new Refused(500, "altered", `${path} of this site is not the file that was exported: it was altered, or came damaged`);
}

const megabytes = (bytes) => (bytes / 1e6).toFixed(0);
