// The review: one recording at a time, a key for each class, labels sent one by one and taken back in turn.

import { clock, find, hue, make, percent } from "/page/dom.js";
import { Player } from "/page/player.js";
import { SoundView } from "/page/spectrogram.js";

const KEYS = [..."123456789abcdefghijklmnopqrtvwxyz"]; // s skips, u takes back, 0 is none of these
const PAUSE = 220; // milliseconds that a given label is shown

const player = new Player();
const skipped = new Set();
let review;
let current = -1;
let view;
let busy = false;
let turn = Promise.resolve(); // ends when the work under way does

async function ask(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The program behind this page has ended. Labels given so far are saved; start spectro review again to go on.");
  }
  const values = await response.json().catch(() => ({ detail: `${response.status} ${response.statusText}` }));
  if (!response.ok) throw new Error(values.detail || "That was refused.");
  return values;
}

function complain(error) {
  const banner = find("#banner");
  banner.hidden = !error;
  banner.textContent = error ? error.message : "";
}

const items = () => review.items;
const keyOf = (name) => (name === review.none ? "0" : KEYS[review.classes.indexOf(name)]);

function nextOpen(from) {
  const open = (place) => items()[place].label === null && !skipped.has(place);
  for (let step = 1; step <= items().length; step += 1) {
    const place = (from + step) % items().length;
    if (open(place)) return place;
  }
  return -1;
}

async function show(place) {
  current = place;
  find("#card").hidden = place < 0;
  find("#end").hidden = place >= 0;
  player.audio.pause();
  if (view) view.close();
  view = null;
  count();
  if (place < 0) return;
  const item = items()[place];
  const name = find("#name");
  name.textContent = item.name;
  name.title = item.path;
  find("#facts").textContent = `${clock(item.seconds)} · ${place + 1} of ${items().length}`;
  question(item);
  choices(item);
  player.open(`/v1/jobs/${place}/audio`, true);
  find("#view").replaceChildren(make("p", { class: "soft" }, "drawing the spectrogram"));
  try {
    const job = await ask(`/v1/jobs/${place}`);
    if (current !== place) return;
    const bands = [{ name: "answer", seconds: job.spectrogram.seconds, segments: job.segments }];
    view = new SoundView(job, review.labels, bands, player);
    find("#view").replaceChildren(view.element);
    view.show(0, job.sound.seconds);
    player.seek(job.focus);
    complain(null);
  } catch (error) {
    if (current === place) complain(error);
  }
}

function question(item) {
  const sure = percent(item.probability);
  const best = make("span", { class: `k${hue(review.labels, item.best)}` }, item.best);
  const text = item.none_of_these ? ["Probably none of these; if it is one, then ", best, "?"] : ["Is this ", best, `? The model is ${sure} sure.`];
  find("#question").replaceChildren(...text);
}

function choices(item) {
  const buttons = review.classes.map((name) => {
    const probability = item.probabilities[name];
    const key = keyOf(name);
    const none = name === review.none;
    return make("button", {
      type: "button", class: `choice k${hue(review.classes, name)}${none ? " none" : ""}`, "aria-pressed": String(item.label === name),
      "aria-keyshortcuts": key, "data-best": name === item.predicted, style: { "--share": probability ?? 0 },
      onclick: () => give(name),
    },
    make("kbd", {}, key ? key.toUpperCase() : " "), make("span", { class: "class-name" }, none && probability === undefined ? "none of these" : name),
    make("span", { class: "value soft" }, probability === undefined ? "" : percent(probability)));
  });
  find("#choices").replaceChildren(...buttons);
}

function count() {
  const labelled = items().filter((item) => item.label !== null).length;
  find("#count").textContent = `${labelled} of ${items().length} labelled`;
  find("#share").value = labelled / items().length;
  find("#undo").disabled = !review.undoable;
  find("#back").disabled = current <= 0;
  find("#next").disabled = current < 0 || current >= items().length - 1;
}

function take(values) {
  items()[values.item.id] = values.item;
  Object.assign(review, { classes: values.classes, undoable: values.undoable });
  count();
}

async function alone(work) {
  busy = true;
  try {
    await work();
    complain(null);
  } catch (error) {
    complain(error);
  } finally {
    busy = false;
  }
}

/** Do work unless other work is under way: a second key must not label the next recording, which nobody saw. */
function once(work) {
  if (!busy) turn = alone(work);
}

const give = (label) => once(async () => {
  const place = current;
  take(await ask("/v1/labels", { item: place, label }));
  skipped.delete(place);
  choices(items()[place]);
  await new Promise((resolve) => setTimeout(resolve, PAUSE));
  show(nextOpen(place));
});

const undo = () => { turn = turn.then(() => alone(async () => {
  if (!review.undoable) return;
  const values = await ask("/v1/undo", {});
  take(values);
  show(values.item.id);
})); };

function skip() {
  if (busy || current < 0) return;
  skipped.add(current);
  show(nextOpen(current));
}

function move(step) {
  const place = current + step;
  if (!busy && current >= 0 && place >= 0 && place < items().length) show(place);
}

function press(event) {
  if (!review || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const onButton = event.target.closest("button, a, [role=slider]");
  if (onButton && [" ", "Enter", "ArrowLeft", "ArrowRight"].includes(key)) return;
  const acts = { " ": () => player.toggle(), s: skip, u: undo, Backspace: undo, ArrowLeft: () => move(-1), ArrowRight: () => move(1) };
  const name = review.classes.find((one) => keyOf(one) === key);
  let act = acts[key];
  if (current >= 0 && key === "Enter") act = () => give(items()[current].predicted);
  if (!act && current >= 0 && name !== undefined) act = () => give(name);
  if (!act) return;
  event.preventDefault();
  act();
}

player.onMove((time, playing, error) => {
  const button = find("#play");
  button.classList.toggle("playing", playing);
  button.setAttribute("aria-label", playing ? "Pause" : "Play");
  button.disabled = Boolean(error);
  find("#play-note").textContent = error;
  if (review && current >= 0) find("#time").textContent = `${clock(time)} / ${clock(items()[current].seconds)}`;
});
find("#play").addEventListener("click", () => player.toggle());
find("#skip").addEventListener("click", skip);
find("#undo").addEventListener("click", undo);
find("#back").addEventListener("click", () => move(-1));
find("#next").addEventListener("click", () => move(1));
find("#again").addEventListener("click", () => {
  skipped.clear();
  show(nextOpen(-1));
});
find("#new").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = find("#new-name");
  const name = input.value.trim();
  input.value = "";
  document.activeElement.blur(); // so that keys are those of the classes again
  if (name) give(name);
});
document.addEventListener("keydown", press);

try {
  review = await ask("/v1/review");
  find("#run").textContent = `with ${review.run}`;
  find("#out").textContent = review.out;
  find("#saved").textContent = `Each label is saved at once in ${review.out}.`;
  find("#commands").textContent = `spectro render ${review.out} --out data\nspectro split data\nspectro finetune data`;
  if (review.failed.length) complain(new Error(`${review.failed.length} files cannot be used: ${review.failed[0]}`));
  show(nextOpen(-1));
} catch (error) {
  complain(error);
}
