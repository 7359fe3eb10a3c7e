// What is known of the model: its licence, what was measured of it, its limits.

import { element, shownName, spanOf } from "./parts.js";
import { text } from "./text.js";

const $ = (id) => document.getElementById(id);

/** Show the model's name, what to beware of, and its card. */
export function drawCard(model) {
  $("model-name").textContent = shownName(model.name);
  $("warnings").replaceChildren(...model.warnings.map((each) => element("p", each, { className: "notice" })));
  $("model").replaceChildren(...Object.entries(card(model)).flatMap(([name, value]) => [element("dt", name), element("dd", shownName(String(value)))]));
}

function card(model) {
  const { max_bytes: bytes, max_seconds: seconds, timeout_sec: timeout } = model.limits ?? {};
  const targets = Object.entries(model.targets).map(([target, labels]) => `${target}: ${labels.join(", ")}`);
  const dimensions = Object.entries(model.dimensions ?? {}).map(([target, { dimensions: names, range }]) => `${target}: ${names.join(", ")} (${range.join(" – ")})`);
  return {
    [text("model.bundle")]: model.bundle,
    [text("model.targets")]: [...targets, ...dimensions].join("; "),
    [text("model.measured")]: measured(model),
    [text("model.license")]: model.license ?? text("model.unstated"),
    [text("model.data_license")]: model.data_license ?? text("model.unstated"),
    [text("model.window")]: text("model.windows", { seconds: model.window.samples / model.sample_rate }),
    [text("model.device")]: `${model.device}, ${model.variant}`,
    ...(bytes && { [text("model.limits")]: text("model.limit", { megabytes: Math.floor(bytes / 1e6), span: spanOf(seconds), timeout }) }),
  };
}

/** The protocol, and the UAR or CCC of each target on speakers of the test, else of the validation. */
function measured(model) {
  const { protocol, ...figures } = model.measured;
  const part = Object.keys(figures).some((name) => name.startsWith("test.")) ? "test" : "validation";
  const shown = Object.entries(figures).filter(([name]) => name.startsWith(`${part}.`) && /\.(uar|ccc)$/.test(name));
  const written = shown.map(([name, value]) => `${name.split(".").slice(1, -1).join(".")}: ${name.split(".").at(-1).toUpperCase()} ${value.toFixed(3)}`);
  return [...written, protocol].join("; ");
}
