"use strict";
// Without this script the page reads the same; it adds zoom, play and seek.
(() => {
  const main = document.getElementById("rows");
  const duration = Number(main.dataset.duration);
  const audio = document.querySelector("audio");
  const zoom = document.querySelector(".zoom");
  const number = (node, name) => Number(node.style.getPropertyValue(name));

  // Everything drawn, once, with the lane it lies in; and a row with nothing in it.
  const items = new Map();
  for (const lane of main.querySelectorAll(".lane")) {
    for (const node of lane.children) {
      items.set(node.dataset.id, {
        node, lane: lane.classList[1], a: number(node, "--a"), b: number(node, "--b"),
      });
    }
  }
  const empty = main.querySelector(".row").cloneNode(true);
  for (const lane of empty.querySelectorAll(".lane")) lane.replaceChildren();
  const cursor = document.createElement("div");
  cursor.className = "cursor";

  function lay(span) {
    const rows = [];
    for (let begin = 0; begin < duration; begin += span) {
      const row = empty.cloneNode(true);
      row.style.setProperty("--from", begin);
      row.style.setProperty("--span", span);
      row.style.setProperty("--len", Math.min(span, duration - begin));
      for (const { node, lane, a, b } of items.values()) {
        if (a < begin + span && (b > begin || a >= begin)) {
          row.querySelector("." + lane).append(node.cloneNode(true));
        }
      }
      rows.push(row);
    }
    main.replaceChildren(...rows);
    main.dataset.span = span;
    for (const button of zoom.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.span) === span));
    }
    point(false);
  }

  function point(follow) {
    if (!audio || !(audio.currentTime > 0)) return;
    const rows = main.children;
    const span = number(rows[0], "--span");
    const row = rows[Math.min(rows.length - 1, Math.floor(audio.currentTime / span))];
    cursor.style.setProperty("--at", (audio.currentTime - number(row, "--from")) / span);
    if (cursor.parentNode !== row) {
      row.append(cursor);
      if (follow) row.scrollIntoView({ block: "nearest" });
    }
  }

  zoom.hidden = false;
  zoom.addEventListener("click", (event) => {
    const span = Number(event.target.dataset.span);
    if (span) lay(span);
  });

  if (audio) {
    const run = () => {
      point(true);
      if (!audio.paused) requestAnimationFrame(run);
    };
    audio.addEventListener("play", run);
    audio.addEventListener("seeked", () => point(false));
    main.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (!row) return;
      const box = row.querySelector(".caller").getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      if (share < 0 || share > 1) return;
      audio.currentTime = Math.min(duration, number(row, "--from") + share * number(row, "--span"));
    });
  }
})();
