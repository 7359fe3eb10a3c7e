// The probabilities over time, as stacked shares: what is seen of it is drawn, so that hours are quick.

const AXIS = 18; // pixels below the shares for the time
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600];

/** Draw parts between two seconds, and where playback stands. Each part has `start`, `end` and shares by label, which `colour` knows. */
export function drawStrip(canvas, parts, { from, to, at }, colour) {
  const scale = devicePixelRatio;
  const [width, height] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  const view = { pen, scale, width, height: height - AXIS * scale, ink: getComputedStyle(canvas).color, x: (second) => ((second - from) / (to - from)) * width };
  drawShares(view, parts, from, to, colour);
  drawAxis(view, from, to);
  pen.fillStyle = view.ink;
  pen.fillRect(view.x(at), 0, scale, view.height);
}

/** Where in a list of parts, ordered by their start, the first one is that ends behind a second. */
export function firstAfter(parts, second) {
  let [low, high] = [0, parts.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (parts[middle].end > second) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** A part that shares its pixels with others is drawn with them once. */
function drawShares({ pen, scale, height, x }, parts, from, to, colour) {
  let drawn = -Infinity;
  for (let at = firstAfter(parts, from); at < parts.length && parts[at].start < to; at += 1) {
    const [left, right] = [x(parts[at].start), x(parts[at].end)];
    if (right < drawn + scale) continue;
    let top = 0;
    for (const [label, share] of parts[at].shares) {
      pen.fillStyle = colour(label);
      pen.fillRect(Math.max(left, drawn), top, Math.max(scale, right - Math.max(left, drawn)), share * height);
      top += share * height;
    }
    drawn = Math.max(drawn, right);
  }
}

function drawAxis({ pen, scale, width, height, ink, x }, from, to) {
  const step = STEPS.find((each) => (to - from) / each <= Math.max(2, width / scale / 80)) ?? STEPS.at(-1);
  pen.fillStyle = ink;
  pen.font = `${11 * scale}px system-ui, sans-serif`;
  for (let second = Math.ceil(from / step) * step; second <= to; second += step) {
    pen.fillRect(x(second), height, scale, 4 * scale);
    pen.fillText(clock(second, step), x(second) + 3 * scale, height + (AXIS - 4) * scale);
  }
}

/** A second as a clock has it: 1:02:03, 2:03, or 3.4. */
export function clock(second, step = 1) {
  if (second < 60) return step < 1 ? second.toFixed(1) : second.toFixed(0);
  const [hours, minutes, seconds] = [second / 3600, (second / 60) % 60, second % 60].map(Math.floor);
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}
