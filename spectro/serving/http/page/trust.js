// What is known of the model before anyone relies on it: measured accuracy with its interval, leaks, and the data.

import { make, percent } from "/page/dom.js";

/** Return the content of the sheet. */
export function trust(facts) {
  return [headline(facts), ...warnings(facts), table(facts), classes(facts), footnotes(facts)].filter(Boolean);
}

const range = ({ low, high }) => (low === null || high === null ? "" : `${percent(low)} to ${percent(high)}`);

function headline({ metrics, split }) {
  if (!metrics) return make("p", { class: "lede" }, "Nobody has measured how often this model is right.");
  const { value } = metrics.accuracy;
  const unseen = split.leaky
    ? "clips of which it may have seen other parts in training"
    : { group: "clips of groups it had never met", clip: "clips it had never met", official: "the official test clips" }[split.by] ?? "test clips";
  const interval = range(metrics.accuracy);
  return make("p", { class: "lede" }, "It names the right class for ", make("b", {}, percent(value)),
    ` of ${metrics.n} ${unseen}`, interval ? ` (${Math.round(100 * metrics.level)}\u202f% interval: ${interval}).` : ".",
    " On sounds unlike its training data it may be wrong more often, and it can only answer with the classes that it knows.");
}

function warnings({ split, repeated_sounds: repeated, data, notes }) {
  const lines = [];
  if (split.leaky) {
    lines.push(`The split leaks: ${split.leaking_groups || "some"} groups are in both training and test, so the accuracy is too high.`);
  }
  if (repeated) lines.push(`${repeated} pairs of clips with the same sound are on both sides of the split, so the accuracy is too high.`);
  if (data.edited) lines.push("Labels or groups were edited after rendering.");
  return [...lines.map((line) => make("p", { class: "warning" }, line)), ...notes.map((line) => make("p", { class: "note" }, line))];
}

function table(facts) {
  const { metrics, split, data } = facts;
  const rows = [];
  if (metrics) {
    const one = (name, estimate) => estimate && rows.push([name, `${percent(estimate.value)} (${range(estimate)})`]);
    one("Accuracy", metrics.accuracy);
    one("Balanced accuracy", metrics.balanced_accuracy);
    one("Calibration error", metrics.ece);
  }
  rows.push(["Split by", `${split.by}, ${split.leaking_groups} of ${split.groups} groups leak`]);
  rows.push(["Clips", Object.entries(split.counts).map(([name, count]) => `${count} ${name}`).join(", ")]);
  rows.push(["Data", `${data.clips} clips, ${data.segments} segments, ${data.groups} groups`]);
  rows.push(["Answers", facts.temperature === 1 ? "not calibrated" : `calibrated, temperature ${facts.temperature.toFixed(2)}`]);
  if (facts.members.length) rows.push(["Members", facts.members.map((member) => member.name).join(", ")]);
  rows.push(["Made with", Object.entries(facts.versions).filter(([name]) => ["spectro", "torch", "scikit-learn"].includes(name)).map((pair) => pair.join(" ")).join(", ")]);
  return make("dl", { class: "facts" }, ...rows.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

function classes({ metrics, data, labels }) {
  const known = new Map((metrics?.classes ?? []).map((one) => [one.label, one]));
  const rows = labels.map((label) => {
    const one = known.get(label);
    const recall = one && one.recall.value !== null ? one.recall : null;
    return make("tr", {}, make("th", { scope: "row" }, label),
      make("td", { class: "number" }, String(data.labels[label] ?? 0)),
      make("td", {}, recall ? interval(recall) : "–"),
      make("td", { class: "number" }, recall ? `${percent(recall.value)}` : ""));
  });
  return make("div", { class: "scroll" }, make("table", { class: "per-class" },
    make("thead", {}, make("tr", {}, ...["Class", "Clips", "Found (with interval)", ""].map((name, place) => make("th", { scope: "col", class: place % 2 ? "number" : "" }, name)))),
    make("tbody", {}, ...rows)));
}

/** A value and its interval as a line of 0 to 100 %. */
function interval({ value, low, high }) {
  return make("span", { class: "interval", role: "img", "aria-label": `${percent(value)}, ${range({ low, high })}` },
    make("i", { class: "span", style: { left: `${100 * (low ?? value)}%`, right: `${100 - 100 * (high ?? value)}%` } }),
    make("i", { class: "dot", style: { left: `${100 * value}%` } }));
}

function footnotes({ metrics }) {
  if (!metrics) return null;
  return make("p", { class: "note" }, `Intervals come from a bootstrap over ${metrics.groups} groups of the ${metrics.subset} clips: ` +
    "with other clips of the same kind the values would mostly lie within them.");
}
