// Opens the model of a site as its worker does, with files in place of a server. Prints JSON: milliseconds a window, or an error.

import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

globalThis.self ??= globalThis;
globalThis.fetch = async (url) => new Response(await readFile(new URL(url)));

const site = pathToFileURL(`${process.argv[2]}/`);
try {
  const { Model } = await import(new URL("page/browser/model.js", site));
  const model = await Model.open(() => {});
  await model.replay(); // once more, until the code of all operators is optimised
  console.log(JSON.stringify({ milliseconds: await model.timed() }));
} catch (error) {
  console.log(JSON.stringify({ error: error.message ?? String(error) }));
}
process.exit(0);
