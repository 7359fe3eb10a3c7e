// Resampling to the model's rate by a windowed sinc: the pass band, the stop band and the delay of soxr's quality "HQ".

const PASS = 0.91363; // share of the lower of both bandwidths that passes; soxr 0.1.3, soxr_quality_spec(SOXR_HQ)
const ATTENUATION_DB = 125;
const MOST_COEFFICIENTS = 1 << 25;

/** Resamples one stream; whatever blocks it comes in, the samples are those of the whole. */
export class Resampler {
  constructor(rate, to) {
    const common = divisor(rate, to);
    this.up = to / common;
    this.down = rate / common;
    this.plain = rate === to;
    if (!this.plain) this.design();
    this.held = new Float32Array(this.plain ? 0 : this.half);
    this.offset = -this.held.length; // the recording's sample that is held first: before it is silence
    this.samples = this.made = 0;
  }

  /** A low pass of linear phase, its coefficients for each place of an output sample between two input samples. */
  design() {
    const least = Math.min(1, this.up / this.down); // the lower bandwidth, in half cycles a sample of the input
    const cut = (least * (PASS + 1)) / 2;
    this.half = Math.ceil((ATTENUATION_DB - 8) / (2.285 * Math.PI * least * (1 - PASS)) / 2) + 1;
    const taps = 2 * this.half;
    if (this.up * taps > MOST_COEFFICIENTS) throw new RangeError(`a rate with ${this.up} phases`);
    const beta = 0.1102 * (ATTENUATION_DB - 8.7); // Kaiser 1974
    this.phases = Array.from({ length: this.up }, (_, phase) => {
      const row = new Float32Array(taps);
      for (let tap = 0; tap < taps; tap += 1) row[tap] = coefficient(tap - this.half + 1 - phase / this.up, cut, this.half, beta);
      return row;
    });
  }

  /** Take the next samples, and give those of the other rate that are certain by them. */
  push(block) {
    this.samples += block.length;
    if (this.plain) return block;
    this.take(block);
    const certain = Math.floor(((this.samples - this.half) * this.up) / this.down);
    return this.give(Math.max(this.made, certain));
  }

  /** The last samples. */
  finish() {
    if (this.plain) return new Float32Array(0);
    this.take(new Float32Array(this.half + 1));
    return this.give(Math.round((this.samples * this.up) / this.down));
  }

  take(block) {
    const held = new Float32Array(this.held.length + block.length);
    held.set(this.held);
    held.set(block, this.held.length);
    this.held = held;
  }

  give(end) {
    const made = new Float32Array(Math.max(0, end - this.made));
    for (let at = 0; at < made.length; at += 1) made[at] = this.sample(this.made + at);
    this.made += made.length;
    const keep = Math.floor((this.made * this.down) / this.up) - this.half - this.offset;
    if (keep > 0) {
      this.held = this.held.slice(keep);
      this.offset += keep;
    }
    return made;
  }

  sample(number) {
    const place = number * this.down;
    const row = this.phases[place % this.up];
    const first = Math.floor(place / this.up) - this.half + 1 - this.offset;
    const held = this.held;
    let sum = 0;
    for (let tap = 0; tap < row.length; tap += 1) sum += row[tap] * held[first + tap];
    return sum;
  }
}

/** All of a waveform at another rate. */
export function resampled(waveform, rate, to) {
  const resampler = new Resampler(rate, to);
  if (resampler.plain) return waveform;
  const made = new Float32Array(Math.round((waveform.length * resampler.up) / resampler.down));
  let at = 0;
  for (let from = 0; from < waveform.length; from += rate) {
    const part = resampler.push(waveform.subarray(from, from + rate));
    made.set(part, at);
    at += part.length;
  }
  made.set(resampler.finish(), at);
  return made;
}

function coefficient(distance, cut, half, beta) {
  const inside = 1 - (distance / half) ** 2;
  if (inside <= 0) return 0;
  const turn = Math.PI * cut * distance;
  const sinc = distance === 0 ? cut : (cut * Math.sin(turn)) / turn;
  return (sinc * bessel(beta * Math.sqrt(inside))) / bessel(beta);
}

/** The modified Bessel function of the first kind, of order 0. */
function bessel(x) {
  let [sum, term] = [1, 1];
  for (let n = 1; term > 1e-12 * sum; n += 1) {
    term *= (x / (2 * n)) ** 2;
    sum += term;
  }
  return sum;
}

const divisor = (a, b) => (b ? divisor(b, a % b) : a);
