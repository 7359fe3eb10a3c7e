// Below each player of a report: the shares of the labels over time, and where playback stands. A click plays from there.

import { drawStrip } from "./strip.js";

const COLOURS = 8;

const colour = (place) => getComputedStyle(document.documentElement).getPropertyValue(`--c${place % COLOURS}`).trim();

/** Draw a recording, and draw it anew as it plays and as the page changes. */
function follow(canvas) {
  const audio = canvas.parentElement.querySelector("audio");
  const parts = JSON.parse(canvas.dataset.steps).map(([start, end, ...shares]) => ({ start, end, shares: [...shares.entries()] }));
  const [from, to] = [parts[0].start, parts.at(-1).end];
  const draw = () => drawStrip(canvas, parts, { from, to, at: audio.currentTime || from }, colour);
  for (const event of ["timeupdate", "seeking"]) audio.addEventListener(event, draw);
  for (const changed of ["(prefers-color-scheme: dark)", "print"]) matchMedia(changed).addEventListener("change", draw);
  new ResizeObserver(draw).observe(canvas);
  canvas.addEventListener("click", ({ offsetX }) => {
    audio.currentTime = from + (offsetX / canvas.clientWidth) * (to - from);
    audio.play().catch(() => {}); // the player itself says that it cannot
  });
}

document.querySelectorAll("canvas[data-steps]").forEach(follow);
