// The page: files come in, two at a time go to the server, and what comes back is shown.

import * as api from "/page/api.js";
import { showAnswer } from "/page/answer.js";
import { bytes, clock, find, make, save } from "/page/dom.js";
import { filesOf, isSound } from "/page/drop.js";
import { Player } from "/page/player.js";
import { obstacle, record } from "/page/record.js";
import { FileTable } from "/page/table.js";
import { trust } from "/page/trust.js";

const SENDERS = 3; // files under way at a time
const state = { items: [], chosen: null, runs: [], limits: null, running: 0, view: null };
const player = new Player();
const table = new FileTable(find("#list"), { onChoose: choose, onRemove: remove });
const run = () => state.runs.find((one) => one.name === find("#run").value) ?? state.runs[0];
const labelsOf = (item) => state.runs.find((one) => one.name === item.run)?.labels ?? [];

// ---- what the server has

async function start() {
  try {
    const { runs, limits, ready } = await api.listRuns();
    state.runs = runs;
    state.limits = limits;
    const select = find("#run");
    const chosen = select.value;
    select.replaceChildren(...runs.map((one) => make("option", { value: one.name, selected: one.name === chosen }, one.name)));
    select.disabled = runs.length < 2;
    select.closest("label").classList.toggle("single", runs.length < 2);
    find("#limits").textContent = `WAV, FLAC, MP3, Ogg and other formats, up to ${bytes(limits.bytes)} and ${Math.round(limits.seconds / 60)} minutes.`;
    find("#kept").textContent = `Sounds stay on the machine that runs this server, and are removed after ${Math.round(limits.keep_seconds / 60)} minutes.`;
    banner(ready ? "" : "The models are being loaded …", "info");
    if (!ready) setTimeout(start, 700);
    pump();
  } catch (error) {
    if (error.status === 401) return login();
    banner(`${error.message} Trying again …`);
    setTimeout(start, 2000);
  }
}

function banner(text, kind = "") {
  const element = find("#banner");
  element.hidden = !text;
  element.className = `banner ${kind}`;
  element.textContent = text;
}

function login() {
  const dialog = find("#login");
  find("#login-form").onsubmit = async (event) => {
    event.preventDefault();
    try {
      await api.login(find("#token").value);
      dialog.close();
      start();
    } catch (error) {
      find("#login-error").textContent = error.status === 401 ? "That is not the token." : error.message;
    }
  };
  if (!dialog.open) dialog.showModal();
}

// ---- files on their way

function add(files) {
  const sounds = files.filter(({ file, name }) => isSound(file) || !name.includes("/")); // of a folder, only sounds
  const left = files.length - sounds.length;
  const before = state.items.length;
  for (const { file, name } of sounds) {
    state.items.push({ file, name, run: run()?.name, state: "queued", sent: 0, progress: 0, ahead: 0, correction: null, stop: new AbortController() });
  }
  if (left) banner(`${left} of the files ${left === 1 ? "is" : "are"} no audio and ${left === 1 ? "was" : "were"} left out.`, "info");
  if (!state.chosen && sounds.length) choose(state.items[before]);
  else refresh();
  pump();
}

function pump() {
  while (state.limits && state.running < SENDERS) {
    const item = state.items.find((one) => one.state === "queued");
    if (!item) return;
    state.running += 1;
    work(item).finally(() => {
      state.running -= 1;
      pump();
    });
  }
}

async function work(item) {
  const { signal } = item.stop;
  const change = (values) => {
    Object.assign(item, values);
    if (state.items.includes(item)) refresh(item);
  };
  try {
    if (item.file.size > state.limits.bytes) throw new Error(`The file has ${bytes(item.file.size)}; this server takes ${bytes(state.limits.bytes)}.`);
    if (!item.file.size) throw new Error("The file is empty.");
    item.run ??= run().name;
    change({ state: "sending", sent: 0 });
    const { id } = await api.send(item.file, item.name, item.run, { signal, onSent: (sent) => change({ sent }) });
    item.id = id;
    const job = await api.follow(id, { signal, onState: ({ state: now, ahead, progress }) => now !== "done" && change({ state: now, ahead, progress }) });
    item.result = await api.result(id);
    change({ job, state: "done" });
    banner("");
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error.status === 401) login();
    if (error instanceof api.Offline) {
      banner("The server does not answer. Files that failed can be tried again.");
      setTimeout(start, 2000);
    }
    change({ state: "failed", error: error.message });
  }
}

function retry(item) {
  Object.assign(item, { state: "queued", sent: 0, error: "", stop: new AbortController() });
  refresh(item);
  pump();
}

function remove(item) {
  item.stop.abort();
  if (item.id) api.forget(item.id);
  const next = state.items.length > 1 ? table.neighbour(item, table.sorted().at(-1) === item ? -1 : 1) : null;
  state.items = state.items.filter((one) => one !== item);
  if (state.chosen === item) choose(next);
  else refresh();
}

// ---- what is shown

function choose(item) {
  state.chosen = item;
  if (!item) player.open("", true);
  refresh(item);
}

/** Show everything anew; the answer only where it is about that item. */
function refresh(item) {
  document.body.classList.toggle("has-files", state.items.length > 0);
  table.update(state.items, state.chosen, state.chosen ? labelsOf(state.chosen) : []);
  find("#save-corrections").hidden = !state.items.some((one) => one.correction);
  for (const button of document.querySelectorAll("[data-save]")) button.disabled = !state.items.some((one) => one.state === "done");
  const article = find("#answer");
  article.hidden = !state.chosen;
  if (item && item === state.chosen) {
    state.view?.close();
    state.view = showAnswer(article, item, labelsOf(item), player, { onCorrect: correct, onRetry: retry });
  }
}

function correct(item, label) {
  item.correction = item.correction === label ? null : label;
  refresh(item);
}

// ---- controls

find("#choose").onclick = () => find("#files").click();
find("#choose-folder").onclick = () => find("#folder").click();
for (const input of [find("#files"), find("#folder")]) {
  input.onchange = () => {
    add([...input.files].map((file) => ({ file, name: file.webkitRelativePath || file.name })));
    input.value = "";
  };
}
find("#clear").onclick = () => {
  for (const item of [...state.items]) remove(item);
};
for (const button of document.querySelectorAll("[data-save]")) {
  button.onclick = async () => {
    const done = state.items.filter((item) => item.state === "done" && item.run === state.chosen?.run);
    try {
      const form = button.dataset.save;
      save(form === "result.csv" ? "predictions.csv" : "predictions.selections.txt", await api.table(done.map((item) => item.id), form));
    } catch (error) {
      banner(error.message);
    }
  };
}
find("#save-corrections").onclick = () => {
  const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const rows = state.items.filter((item) => item.correction).map((item) => `${quoted(item.name)},${quoted(item.correction)}\n`);
  save("corrections.csv", `path,label\n${rows.join("")}`);
};
find("#trust-open").onclick = async () => {
  const body = find("#trust-body");
  body.replaceChildren(make("p", { class: "soft" }, "loading"));
  find("#trust").showModal();
  try {
    body.replaceChildren(...trust(await api.showRun(state.chosen?.run ?? run().name)));
  } catch (error) {
    body.replaceChildren(make("p", { class: "error" }, error.message));
  }
};

let finish = null;
find("#record").onclick = async () => {
  const [button, note] = [find("#record"), find("#recording")];
  if (finish) {
    const end = finish;
    finish = null;
    button.setAttribute("aria-pressed", "false");
    button.textContent = "Record";
    note.textContent = "";
    const file = await end();
    add([{ file, name: file.name }]);
    return choose(state.items.at(-1));
  }
  note.textContent = obstacle();
  if (note.textContent) return;
  try {
    finish = await record((seconds) => (note.textContent = `recording ${clock(seconds)}`), state.limits.seconds - 1, () => button.click());
    button.setAttribute("aria-pressed", "true");
    button.textContent = "Stop";
  } catch (error) {
    note.textContent = error.name === "NotAllowedError" ? "The browser does not allow the microphone here." : `No recording: ${error.message}`;
  }
};

let inside = 0;
addEventListener("dragenter", (event) => {
  inside += 1;
  event.preventDefault();
  document.body.classList.add("dragging");
});
addEventListener("dragleave", () => {
  inside -= 1;
  if (inside <= 0) document.body.classList.remove("dragging");
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", async (event) => {
  event.preventDefault();
  inside = 0;
  document.body.classList.remove("dragging");
  add(await filesOf(event.dataTransfer));
});

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const { target, key } = event;
  if (target.matches("input, select, textarea") || !state.chosen) return;
  if (key === " " && target.closest("button, summary, a")) return;
  const actions = {
    " ": () => player.toggle(),
    ArrowLeft: () => player.seek(player.time - 5),
    ArrowRight: () => player.seek(Math.min(player.time + 5, state.chosen.job?.sound.seconds ?? 0)),
    ArrowDown: () => choose(table.neighbour(state.chosen, 1)),
    ArrowUp: () => choose(table.neighbour(state.chosen, -1)),
    "+": () => state.view?.zoom(0.5),
    "-": () => state.view?.zoom(2),
  };
  const action = /^[1-9]$/.test(key) ? () => state.view?.correct(Number(key) - 1) : actions[key];
  if (!action) return;
  event.preventDefault();
  action();
});

start();
