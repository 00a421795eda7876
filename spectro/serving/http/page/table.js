// All files as a table that can be sorted, walked through by keys and saved.

import { clock, find, hue, make, percent } from "/page/dom.js";

const MOST_PIECES = 120;
const WORDS = { queued: "in line", receiving: "sending", sending: "sending", waiting: "waiting", decoding: "decoding", predicting: "classifying" };

export class FileTable {
  constructor(section, { onChoose, onRemove }) {
    Object.assign(this, { section, onChoose, onRemove });
    this.body = find("tbody", section);
    this.rows = new Map();
    this.order = { by: "", down: false };
    for (const button of section.querySelectorAll("[data-sort]")) {
      button.addEventListener("click", () => this.sortBy(button.dataset.sort));
    }
    this.body.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      const row = event.target.closest("tr");
      if (event.target === row) this.onChoose(row.item);
    });
  }

  /** Show the items, of which one is chosen. */
  update(items, chosen, labels) {
    this.items = items;
    this.section.hidden = items.length === 0;
    for (const [item, row] of this.rows) {
      if (!items.includes(item)) {
        row.remove();
        this.rows.delete(item);
      }
    }
    for (const item of items) {
      if (!this.rows.has(item)) this.rows.set(item, this.newRow(item));
      this.fill(this.rows.get(item), item, item === chosen, labels);
    }
    this.arrange();
    this.summarize(items);
  }

  newRow(item) {
    const row = make("tr", { onclick: (event) => event.target.closest("button") || this.onChoose(item) });
    row.item = item;
    return row;
  }

  fill(row, item, chosen, labels) {
    row.setAttribute("aria-selected", chosen ? "true" : "false");
    row.tabIndex = chosen ? 0 : -1;
    const key = [item.state, item.sent, item.progress, item.ahead, item.correction, item.error, labels.length].join();
    if (row.key === key) return;
    row.key = key;
    const file = item.result?.files[0];
    const remove = make("button", { type: "button", class: "small", "aria-label": `Remove ${item.name}`, title: "Remove", onclick: () => this.onRemove(item) }, "×");
    const name = make("th", { scope: "row", title: item.name }, make("span", {}, item.name));
    if (!file) {
      const text = item.state === "failed" ? item.error : WORDS[item.state];
      const cell = make("td", { colspan: 2, class: item.state === "failed" ? "error" : "soft" }, text);
      if (item.state === "sending") cell.append(` ${percent(item.sent)}`);
      row.replaceChildren(name, cell, make("td", { class: "wide" }), make("td", { class: "length" }), make("td", {}, remove));
      return;
    }
    const label = item.correction ?? file.label;
    const mark = item.correction ? make("span", { class: "mark", title: item.correction === file.label ? "confirmed" : `corrected, was ${file.label}` }, item.correction === file.label ? " ✓" : " ✎") : null;
    row.replaceChildren(name,
      make("td", {}, make("span", { class: `key k${hue(labels, label)}` }, label), mark),
      make("td", { class: "number" }, percent(file.probability)),
      make("td", { class: "wide" }, band(item, file, labels)),
      make("td", { class: "number length" }, clock(file.duration)),
      make("td", {}, remove));
  }

  arrange() {
    const items = this.sorted();
    const rows = items.map((item) => this.rows.get(item));
    if (rows.some((row, place) => this.body.children[place] !== row)) this.body.replaceChildren(...rows);
  }

  sorted() {
    const { by, down } = this.order;
    if (!by) return this.items;
    const value = (item) => {
      const file = item.result?.files[0];
      return { name: item.name, label: item.correction ?? file?.label ?? "\uffff", probability: file?.probability ?? -1, seconds: file?.duration ?? -1 }[by];
    };
    const compare = (first, second) =>
      typeof first === "string" ? first.localeCompare(second, undefined, { numeric: true }) : first - second;
    return [...this.items].sort((first, second) => (down ? -1 : 1) * compare(value(first), value(second)));
  }

  sortBy(by) {
    this.order = { by, down: this.order.by === by && !this.order.down };
    for (const button of this.section.querySelectorAll("[data-sort]")) {
      const state = button.dataset.sort === by ? (this.order.down ? "descending" : "ascending") : "none";
      button.closest("th").setAttribute("aria-sort", state);
    }
    this.arrange();
  }

  /** Return the item that is so many rows below another one. */
  neighbour(item, step) {
    const items = this.sorted();
    return items[Math.max(0, Math.min(items.length - 1, items.indexOf(item) + step))];
  }

  summarize(items) {
    const count = (state) => items.filter((item) => item.state === state).length;
    const [done, failed] = [count("done"), count("failed")];
    const parts = [`${done} of ${items.length} classified`];
    if (failed) parts.push(`${failed} without an answer`);
    const corrected = items.filter((item) => item.correction).length;
    if (corrected) parts.push(`${corrected} checked by you`);
    find("#summary").textContent = parts.join(", ");
  }
}

/** A small band of the answers over time; equal neighbours are one piece. */
function band(item, file, labels) {
  const pieces = [];
  for (const segment of file.segments) {
    const last = pieces.at(-1);
    if (last?.label === segment.label) last.count += 1;
    else pieces.push({ label: segment.label, count: 1 });
  }
  if (pieces.length > MOST_PIECES) return make("span", { class: "soft" }, `${pieces.length} changes`);
  const text = pieces.map((piece) => piece.label).join(", ");
  return make("span", { class: "mini", role: "img", "aria-label": text, title: text },
    ...pieces.map((piece) => make("i", { class: `k${hue(labels, piece.label)}`, style: { "flex-grow": piece.count } })));
}
