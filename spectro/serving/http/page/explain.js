// What decided: the part of a segment in which a network finds the answer, as light on the spectrogram.

import { explanation } from "/page/api.js";
import { clock, make } from "/page/dom.js";

const DARK = 0.82; // of what did not matter

/** Return the controls; they follow the playhead from segment to segment while they are on. */
export function whatDecided(item, view, player) {
  const networks = item.job.explainable;
  if (!networks.length) return { element: null, close() {} };
  const { label } = item.result.files[0];
  const note = make("span", { class: "note", role: "status" });
  const choice = make("select", { "aria-label": "Model to look into", hidden: networks.length < 2, onchange: () => show() },
    ...networks.map((one) => make("option", {}, one.name)));
  const button = make("button", { type: "button", "aria-pressed": "false", onclick: () => toggle() }, "What decided?");
  let [on, busy, shown] = [false, false, ""];

  function toggle() {
    on = !on;
    button.setAttribute("aria-pressed", String(on));
    note.textContent = "";
    shown = "";
    view.light(null);
    show();
  }

  async function show() {
    const network = networks[choice.selectedIndex];
    const number = Math.max(0, network.starts.findLastIndex((start) => start <= player.time + 1e-6));
    const key = `${network.name} ${number}`;
    if (!on || busy || key === shown) return;
    [busy, shown] = [true, key];
    const [start, end] = [network.starts[number], network.starts[number] + network.seconds];
    note.textContent = `looking into ${clock(start)} to ${clock(end)} …`;
    try {
      const { image, passes } = await explanation(item.job.id, number, network.name);
      if (on) {
        view.light({ canvas: shade(image), start, seconds: network.seconds });
        note.textContent = `Bright: where ${network.name} finds ${label} from ${clock(start)} to ${clock(end)}. ${passes
          ? "Checked: without it the answer is lost sooner than without random parts."
          : "Do not rely on it: without random parts the answer is lost as soon."}`;
      }
    } catch (error) {
      note.textContent = error.message;
    }
    busy = false;
    show();
  }

  const stop = player.onMove(() => show());
  return {
    element: make("div", { class: "decided" }, button, choice, note),
    close() {
      on = false;
      stop();
    },
  };
}

/** Return a canvas that darkens what an image has dark. */
function shade(image) {
  const canvas = make("canvas", { width: image.width, height: image.height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < pixels.data.length; at += 4) {
    pixels.data.set([0, 0, 4, DARK * (255 - pixels.data[at])], at);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}
