// One file in full: the answer and its runners-up, the sound over time, the members of an ensemble, and corrections.

import { audioPath, text } from "/page/api.js";
import { bytes, clock, hue, make, percent, save } from "/page/dom.js";
import { whatDecided } from "/page/explain.js";
import { SoundView } from "/page/spectrogram.js";

const RANKED = 9; // classes that are listed, each with a key

/** Fill the article with an item; returns what keys can do, and `close`. */
export function showAnswer(article, item, labels, player, { onCorrect, onRetry }) {
  if (item.state === "failed") return showFailure(article, item, onRetry);
  if (item.state !== "done") return showProgress(article, item);
  const [file] = item.result.files;
  const ranked = labels.map((label) => ({ label, probability: file.probabilities[label] }))
    .sort((first, second) => second.probability - first.probability);
  const bands = [
    { name: "answer", seconds: item.job.spectrogram.seconds, segments: file.segments },
    ...item.result.members,
  ];
  const view = new SoundView(item.job, labels, bands, player);
  player.open(audioPath(item.job.id), item.job.sound.playable);
  const stop = transport(item, player, view);
  const decided = whatDecided(item, view, player);
  article.replaceChildren(
    make("header", { class: "answer-head" },
      make("p", { class: "file-name", title: item.name }, item.name),
      make("p", { class: "soft" }, facts(item))),
    make("div", { class: "columns" },
      make("div", { class: "verdict" },
        noneOfThese(file, ranked),
        make("h2", { class: `label k${hue(labels, ranked[0].label)}` }, make("span", {}, ranked[0].label)),
        make("p", { class: "sure" }, make("b", {}, percent(ranked[0].probability)), " ", sureness(ranked, file.segments)),
        classes(item, ranked, labels, onCorrect),
        members(item, labels),
        ...file.warnings.map((warning) => make("p", { class: "note warning" }, warning.message))),
      make("div", { class: "over-time" }, view.element, stop.element, decided.element)));
  return {
    close() {
      view.close();
      stop.close();
      decided.close();
    },
    zoom: (factor) => view.zoom(factor),
    correct: (place) => ranked[place] && place < RANKED && onCorrect(item, ranked[place].label),
  };
}

function facts(item) {
  const { seconds, sample_rate: rate, channels } = item.job.sound;
  const sides = channels === 1 ? "mono" : channels === 2 ? "stereo" : `${channels} channels`;
  return `${clock(seconds)} · ${rate / 1000} kHz ${sides} · ${bytes(item.file.size)}`;
}

function noneOfThese(file, ranked) {
  if (!file.none_of_these) return null;
  const why = file.novelty === null ? "" : ` It is more unusual than ${percent(file.novelty)} of the validation clips.`;
  return make("p", { class: "note none-of-these" }, make("b", {}, "Probably none of these."), why,
    ` If it is one of them, then ${ranked[0].label}:`);
}

function sureness(ranked, segments) {
  const same = segments.filter((segment) => segment.label === ranked[0].label).length;
  if (segments.length > 1) return `sure; the answer in ${same} of ${segments.length} segments`;
  return "sure";
}

function classes(item, ranked, labels, onCorrect) {
  const chosen = item.correction;
  const rows = ranked.slice(0, Math.min(RANKED, Math.max(5, ranked.length > RANKED ? 6 : RANKED))).map((one, place) =>
    make("li", {}, make("button", {
      type: "button", class: `class k${hue(labels, one.label)}`, "aria-pressed": chosen === one.label ? "true" : "false",
      "aria-label": `${one.label}, ${percent(one.probability)}: note this as the right answer`,
      onclick: () => onCorrect(item, one.label),
    },
    make("kbd", {}, String(place + 1)), make("span", { class: "class-name" }, one.label),
    make("span", { class: "bar", style: { "--share": one.probability } }), make("span", { class: "value" }, percent(one.probability)))));
  const other = make("select", {
    "aria-label": "Right answer among all classes",
    onchange: (event) => onCorrect(item, event.target.value || null),
  }, make("option", { value: "" }, "another one …"), ...labels.map((label) => make("option", { value: label, selected: chosen === label }, label)));
  const shown = new Set(ranked.slice(0, rows.length).map((one) => one.label));
  if (!chosen || shown.has(chosen)) other.value = "";
  return make("div", {},
    make("ol", { class: "classes" }, ...rows),
    make("p", { class: "note correct" },
      chosen ? (chosen === ranked[0].label ? "Confirmed. " : `Corrected to ${chosen}. `) : "Right or wrong? Choose the true class. ",
      labels.length > rows.length ? other : null,
      chosen ? make("button", { type: "button", class: "link", onclick: () => onCorrect(item, null) }, "undo") : null));
}

function transport(item, player, view) {
  const button = make("button", { type: "button", class: "play", "aria-label": "Play", onclick: () => player.toggle() });
  const time = make("span", { class: "time" });
  const note = make("span", { class: "note", role: "status" });
  const show = (now, playing, error) => {
    button.classList.toggle("playing", playing);
    button.setAttribute("aria-label", playing ? "Pause" : "Play");
    button.disabled = Boolean(error);
    time.textContent = `${clock(now)} / ${clock(item.job.sound.seconds)}`;
    note.textContent = error;
  };
  const close = player.onMove(show);
  show(player.time, player.playing, player.error);
  const zoom = (name, sign, factor) =>
    make("button", { type: "button", class: "small", "aria-label": name, title: name, onclick: () => view.zoom(factor) }, sign);
  const element = make("div", { class: "transport" }, button, time, note, downloads(item),
    make("span", { class: "zoom" }, zoom("Zoom out", "−", 2), zoom("Zoom in", "+", 0.5), zoom("Show all", "all", 1e9)));
  return { element, close };
}

function members(item, labels) {
  if (!item.result.members.length) return null;
  const agree = item.result.members.filter((member) => member.label === item.result.files[0].label).length;
  const head = `${agree} of ${item.result.members.length} models agree with the answer`;
  const row = (member) => make("tr", {}, make("th", { scope: "row", title: member.name }, member.name),
    make("td", {}, make("span", { class: `key k${hue(labels, member.label)}` }, member.label)),
    make("td", { class: "number" }, percent(member.probability)));
  return make("div", { class: "members" }, make("p", { class: "note" }, head),
    make("table", {}, make("tbody", {}, ...item.result.members.map(row))));
}

function downloads(item) {
  const names = { "result.json": "JSON", "result.csv": "CSV", "labels.txt": "Audacity", "selections.txt": "Raven" };
  const one = ([form, name]) => make("button", {
    type: "button", class: "link",
    onclick: async () => save(`${item.name.split("/").pop()}.${form}`, await text(item.job.id, form), "text/plain;charset=utf-8"),
  }, name);
  return make("span", { class: "note downloads" }, "Save as ", ...Object.entries(names).map(one));
}

function showProgress(article, item) {
  const words = {
    queued: "in line", sending: `sending, ${percent(item.sent)}`, waiting: item.ahead ? `waiting for ${item.ahead} before it` : "next",
    decoding: "decoding", predicting: `classifying, ${percent(item.progress)}`, receiving: "sending",
  };
  const share = { sending: item.sent * 0.4, waiting: 0.4, decoding: 0.5, predicting: 0.6 + 0.4 * item.progress }[item.state] ?? 0;
  article.replaceChildren(
    make("header", { class: "answer-head" }, make("p", { class: "file-name" }, item.name), make("p", { class: "soft" }, bytes(item.file.size))),
    make("div", { class: "waiting" }, make("progress", { max: 1, value: share, "aria-label": "Progress" }),
      make("p", { class: "soft" }, words[item.state] ?? item.state)));
  return { close() {}, zoom() {}, correct() {} };
}

function showFailure(article, item, onRetry) {
  article.replaceChildren(
    make("header", { class: "answer-head" }, make("p", { class: "file-name" }, item.name), make("p", { class: "soft" }, bytes(item.file.size))),
    make("div", { class: "waiting" }, make("h2", { class: "error" }, "No answer"), make("p", {}, item.error),
      make("button", { type: "button", onclick: () => onRetry(item) }, "Try again")));
  return { close() {}, zoom() {}, correct() {} };
}
