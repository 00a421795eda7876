// Passes the microphone's samples on, in blocks of about a tenth of a second.

const BLOCK = 4096;

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(BLOCK);
    this.filled = 0;
  }

  process([[channel]]) {
    if (!channel) return true;
    if (this.filled + channel.length > BLOCK) {
      this.port.postMessage(this.block.slice(0, this.filled));
      this.filled = 0;
    }
    this.block.set(channel, this.filled);
    this.filled += channel.length;
    return true;
  }
}

registerProcessor("recorder", Recorder);
