// Gathers what the microphone hears into messages of about 100 ms, at the rate of the device.

class Gather extends AudioWorkletProcessor {
  constructor() {
    super();
    this.size = Math.round(sampleRate / 10);
    this.kept = new Float32Array(this.size);
    this.used = 0;
  }

  process([[heard]]) {
    for (let at = 0; heard && at < heard.length; ) {
      const part = heard.subarray(at, at + this.size - this.used);
      this.kept.set(part, this.used);
      this.used += part.length;
      at += part.length;
      if (this.used === this.size) {
        this.port.postMessage(this.kept.slice());
        this.used = 0;
      }
    }
    return true;
  }
}

registerProcessor("gather", Gather);
