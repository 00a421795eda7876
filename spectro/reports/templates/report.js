"use strict";
// A cell of a confusion matrix opens its list of clips; arrow keys walk from cell to cell.
for (const matrix of document.querySelectorAll(".matrix")) {
  const buttons = [...matrix.querySelectorAll("button")];
  const open = (button, scroll) => {
    for (const other of buttons) {
      const chosen = other === button;
      other.setAttribute("aria-expanded", String(chosen));
      const cell = document.getElementById(other.getAttribute("aria-controls"));
      cell.hidden = !chosen;
      for (const audio of cell.querySelectorAll("audio")) chosen ? (audio.preload = "metadata") : audio.pause();
      if (chosen && scroll) cell.scrollIntoView({ block: "nearest" });
    }
  };
  const first = buttons.find((button) => button.getAttribute("aria-expanded") === "true");
  if (first) open(first, false);
  matrix.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) open(button, true);
  });
  matrix.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const cell = event.target.closest("td");
    if (!step || !cell) return;
    event.preventDefault();
    let [row, column] = [cell.parentElement.rowIndex, cell.cellIndex];
    for (;;) {
      row += step[0];
      column += step[1];
      const next = matrix.rows[row]?.cells[column];
      if (!next || next.tagName !== "TD") return;
      const button = next.querySelector("button");
      if (button) return button.focus();
    }
  });
}
// One switch stands for all: the Grad-CAM overlay is shown everywhere or nowhere.
const switches = [...document.querySelectorAll(".cam")];
for (const one of switches) {
  one.addEventListener("change", () => {
    for (const other of switches) other.checked = one.checked;
  });
}
// One sound at a time, with a line that walks over its spectrogram.
for (const audio of document.querySelectorAll("audio")) {
  const picture = audio.closest("li").querySelector(".picture");
  if (!audio.closest("[hidden]")) audio.preload = "metadata"; // so that its length is shown
  const draw = () => {
    if (!picture) return;
    picture.style.setProperty("--at", audio.duration ? audio.currentTime / audio.duration : 0);
    picture.style.setProperty("--playing", audio.currentTime > 0 && !audio.ended ? 0.9 : 0);
    if (!audio.paused) requestAnimationFrame(draw);
  };
  audio.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    draw();
  });
  for (const name of ["pause", "seeked", "ended"]) audio.addEventListener(name, draw);
}
