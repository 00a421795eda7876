// A sound over time: its spectrogram in tiles with axes, the playhead, and a band for each model's answers.

import { tilePath } from "/page/api.js";
import { clock, hue, make, percent } from "/page/dom.js";
import { height, hertz, MAGMA, marks } from "/page/mel.js";

const FIRST_WINDOW = 120; // seconds shown at first of a longer sound
const LEAST_WINDOW = 2;
const STEPS = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
const LOADS = 4; // tiles fetched at a time

export class SoundView {
  /** Show a job; `bands` are rows of answers, each with a name, seconds and segments; `player` moves the playhead. */
  constructor(job, labels, bands, player) {
    Object.assign(this, { job, labels, bands, player });
    const { seconds } = job.sound;
    this.tiles = new Map();
    this.queue = [];
    this.loading = 0;
    this.window = { start: 0, span: Math.min(seconds, FIRST_WINDOW) };
    this.build();
    this.observer = new ResizeObserver(() => {
      this.draw();
      this.drawTicks();
    });
    this.observer.observe(this.plot);
    this.unsubscribe = player.onMove((time, playing) => this.move(time, playing));
  }

  build() {
    const { seconds } = this.job.sound;
    this.canvas = make("canvas", { "aria-hidden": "true" });
    this.head = make("div", { class: "playhead" });
    this.note = make("span", { class: "tile-state" }, "loading the spectrogram");
    this.plot = make("div", {
      class: "plot", tabindex: 0, role: "slider", "aria-label": "Position in the sound, in seconds",
      "aria-valuemin": 0, "aria-valuemax": seconds.toFixed(1), "aria-valuenow": 0, "aria-valuetext": "0:00",
      onpointerdown: (event) => this.seek(event),
    }, this.canvas, this.head, this.note);
    this.axis = make("div", { class: "hertz", "aria-hidden": "true" });
    this.ticks = make("div", { class: "ticks", "aria-hidden": "true" });
    this.rows = this.bands.map((band) => make("div", { class: "band", role: "group", "aria-label": `Answers over time: ${band.name}` }));
    this.pan = make("input", {
      type: "range", class: "pan", min: 0, step: 0.1, value: 0, "aria-label": "Part of the sound that is shown",
      oninput: () => this.show(Number(this.pan.value), this.window.span),
    });
    const cells = this.bands.flatMap((band, number) => [
      make("div", { class: "band-name", title: band.name }, band.name), this.rows[number],
    ]);
    this.element = make("div", { class: "view" },
      this.axis, this.plot, make("div"), this.ticks, ...cells, make("div"), this.pan);
    const { low_hz: low, high_hz: high } = this.job.spectrogram;
    for (const hz of marks(low, high)) {
      this.axis.append(make("span", { style: { bottom: `${100 * height(hz, low, high)}%` } }, hertz(hz)));
    }
    this.show(0, this.window.span);
  }

  /** Show `span` seconds from `start` on. */
  show(start, span) {
    const { seconds } = this.job.sound;
    span = Math.max(Math.min(LEAST_WINDOW, seconds), Math.min(span, seconds));
    start = Math.max(0, Math.min(start, seconds - span));
    this.window = { start, span };
    this.pan.hidden = span >= seconds - 0.01;
    this.pan.max = seconds - span;
    this.pan.value = start;
    this.want();
    this.draw();
    this.drawTicks();
    this.bands.forEach((band, number) => this.drawBand(band, this.rows[number]));
    this.move(this.player.time, this.player.playing);
  }

  zoom(factor) {
    const { start, span } = this.window;
    const middle = Math.max(start, Math.min(this.player.time, start + span));
    const wider = span * factor;
    this.show(middle - ((middle - start) / span) * wider, wider);
  }

  /** Load the tiles of the window that are missing, and forget those of earlier ones. */
  want() {
    const { starts, seconds } = this.job.spectrogram;
    const { start, span } = this.window;
    const numbers = starts.map((_, number) => number).filter((n) => starts[n] + seconds > start && starts[n] < start + span);
    this.queue = numbers.filter((number) => !this.tiles.has(number));
    this.failed = false;
    while (this.loading < LOADS && this.queue.length) this.load(this.queue.shift());
  }

  async load(number) {
    this.loading += 1;
    this.tiles.set(number, null);
    const image = new Image();
    image.src = tilePath(this.job.id, number);
    try {
      await image.decode();
      this.tiles.set(number, coloured(image));
    } catch {
      this.tiles.delete(number);
      this.failed = true;
    }
    this.loading -= 1;
    if (this.closed) return;
    this.draw();
    if (this.queue.length) this.load(this.queue.shift());
  }

  draw() {
    const { width, height: tall } = this.plot.getBoundingClientRect();
    if (!width) return;
    const scale = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(tall * scale);
    const context = this.canvas.getContext("2d");
    const { starts, seconds } = this.job.spectrogram;
    const { start, span } = this.window;
    const unit = this.canvas.width / span;
    let drawn = 0;
    for (const [number, tile] of [...this.tiles].sort(([first], [second]) => first - second)) {
      if (!tile) continue;
      drawn += 1;
      const left = Math.round((starts[number] - start) * unit);
      const right = Math.round((starts[number] + seconds - start) * unit);
      context.drawImage(tile, left, 0, right - left, this.canvas.height);
    }
    if (this.shade) {
      const { canvas, start: from, seconds: long } = this.shade;
      context.drawImage(canvas, (from - start) * unit, 0, long * unit, this.canvas.height);
    }
    this.note.hidden = drawn > 0 && !this.failed;
    this.note.textContent = this.failed ? "the spectrogram is no longer kept" : "loading the spectrogram";
  }

  /** Darken what did not decide in a segment, with a canvas; null for none. */
  light(shade) {
    this.shade = shade;
    this.draw();
  }

  drawTicks() {
    const { start, span } = this.window;
    const wide = this.plot.getBoundingClientRect().width || 600;
    const step = STEPS.find((one) => (one / span) * wide > 72) || STEPS.at(-1);
    const ticks = [];
    for (let time = Math.ceil(start / step - 1e-9) * step; time <= start + span + 1e-6; time += step) {
      const share = (time - start) / span;
      const text = step < 1 ? time.toFixed(1) : clock(time);
      ticks.push(make("span", { style: { left: `${100 * share}%` }, class: share > 0.96 ? "last" : share < 0.03 ? "first" : "" }, text));
    }
    this.ticks.replaceChildren(...ticks);
  }

  drawBand(band, row) {
    const { start, span } = this.window;
    const buttons = band.segments
      .filter((segment) => segment.start + band.seconds > start && segment.start < start + span)
      .map((segment, place, all) => {
        const end = (one, at) => Math.min(one.start + band.seconds, all[at + 1]?.start ?? Infinity, this.job.sound.seconds);
        const own = end(segment, place) - segment.start;
        let last = place; // equal neighbours share one text
        while (all[last + 1]?.label === segment.label) last += 1;
        const run = (end(all[last], last) - segment.start) / own;
        const first = all[place - 1]?.label !== segment.label;
        const text = `${clock(segment.start)} ${segment.label}, ${percent(segment.probability)}`;
        return make("button", {
          type: "button", class: `piece k${hue(this.labels, segment.label)}`, tabindex: place ? -1 : 0, title: text,
          "aria-label": `${text}; play from here`,
          style: {
            left: `${(100 * (segment.start - start)) / span}%`, width: `${(100 * own) / span}%`,
            "--sure": segment.probability.toFixed(2),
          },
          onclick: () => this.player.playFrom(segment.start),
          onkeydown: step,
        }, first && make("span", { style: { width: `${(100 * run).toFixed(2)}%` } }, segment.label));
      });
    row.replaceChildren(...(buttons.length ? buttons : [make("span", { class: "soft" }, "members cut the sound differently")]));
  }

  seek(event) {
    const { left, width } = this.plot.getBoundingClientRect();
    const at = (x) => this.window.start + Math.max(0, Math.min(1, (x - left) / width)) * this.window.span;
    this.player.seek(at(event.clientX));
    const drag = (moved) => this.player.seek(at(moved.clientX));
    const end = () => {
      window.removeEventListener("pointermove", drag);
      window.removeEventListener("pointerup", end);
    };
    window.addEventListener("pointermove", drag);
    window.addEventListener("pointerup", end);
  }

  move(time, playing) {
    const { start, span } = this.window;
    if (playing && (time > start + span || time < start)) return this.show(time, span);
    const share = (time - start) / span;
    this.head.hidden = share < 0 || share > 1;
    this.head.style.setProperty("left", `${100 * share}%`);
    this.plot.setAttribute("aria-valuenow", time.toFixed(1));
    this.plot.setAttribute("aria-valuetext", clock(time));
  }

  close() {
    this.closed = true;
    this.observer.disconnect();
    this.unsubscribe();
  }
}

/** Move along a band with the arrow keys. */
function step(event) {
  const to = { ArrowLeft: "previousElementSibling", ArrowRight: "nextElementSibling" }[event.key];
  const next = to && event.currentTarget[to];
  if (!next) return;
  event.preventDefault();
  event.stopPropagation();
  event.currentTarget.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

/** Return a canvas with the grey levels of an image in colour. */
function coloured(image) {
  const canvas = make("canvas", { width: image.naturalWidth, height: image.naturalHeight });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < pixels.data.length; at += 4) {
    const level = 3 * pixels.data[at];
    pixels.data.set(MAGMA.subarray(level, level + 3), at);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}
