// The microphone as a 16-bit WAV file: no codec in between, as it was when the model was trained.

/** Why recording is impossible here; empty where it is possible. */
export function obstacle() {
  if (!window.isSecureContext) return "Recording needs https, or the address localhost.";
  if (!navigator.mediaDevices?.getUserMedia || !window.AudioWorkletNode) return "This browser cannot record.";
  return "";
}

/** Begin to record; resolves with a function that ends it and returns the file. */
export async function record(onSeconds, mostSeconds, onFull) {
  // Without the processing that is meant for speech: it removes what a model may need.
  const wanted = { audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 } };
  const stream = await navigator.mediaDevices.getUserMedia(wanted);
  const context = new AudioContext();
  await context.audioWorklet.addModule("/page/recorder.worklet.js");
  const node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
  const blocks = [];
  let count = 0;
  node.port.onmessage = ({ data }) => {
    blocks.push(data);
    count += data.length;
    onSeconds(count / context.sampleRate);
    if (count / context.sampleRate > mostSeconds) onFull();
  };
  context.createMediaStreamSource(stream).connect(node);
  return async () => {
    for (const track of stream.getTracks()) track.stop();
    const rate = context.sampleRate;
    await context.close();
    const stamp = new Date().toTimeString().slice(0, 8).replaceAll(":", "-");
    return new File([wav(blocks, count, rate)], `recording ${stamp}.wav`, { type: "audio/wav" });
  };
}

export function wav(blocks, count, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * count));
  const text = (at, letters) => [...letters].forEach((letter, place) => view.setUint8(at + place, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * count, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * count, true);
  let at = 44;
  for (const block of blocks) {
    for (const sample of block) {
      view.setInt16(at, Math.round(32767 * Math.max(-1, Math.min(1, sample))), true);
      at += 2;
    }
  }
  return view.buffer;
}
