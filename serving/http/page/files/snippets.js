// The request that was made last, as others make it: curl, Python, JavaScript.

import { element, shownName } from "./parts.js";
import { key } from "./service.js";
import { text } from "./text.js";

let last = ["?windows=1", "recording.wav"];

/** Show a request for a query and the name of a file; without them the last one anew. */
export function showSnippets(query = last[0], name = last[1]) {
  last = [query, name];
  const url = `${location.origin}/v1/predict${query}`;
  const plain = name.split("/").pop();
  const file = shownName(plain) === plain ? plain : "recording.wav"; // what is copied does what it looks like
  const kinds = { curl: curl(url, file), Python: python(url, file), JavaScript: javascript(url) };
  const place = document.getElementById("snippets");
  place.replaceChildren(...Object.entries(kinds).map(([kind, code]) => snippet(kind, code)));
}

const curl = (url, file) => `curl ${key() ? '-H "Authorization: Bearer $EMOTIONS_KEY" ' : ""}-F ${shell(`file=@${file}`)} '${url}'`;

const python = (url, file) => `import os

import httpx

headers = ${key() ? '{"Authorization": f"Bearer {os.environ[\'EMOTIONS_KEY\']}"}' : "{}"}
with open(${JSON.stringify(file)}, "rb") as file:
    answer = httpx.post(${JSON.stringify(url)}, headers=headers, files={"file": file}, timeout=60)
print(answer.json())`;

const javascript = (url) => `const form = new FormData();
form.append("file", input.files[0]);
const answer = await fetch(${JSON.stringify(url)}, {method: "POST", body: form${key() ? ", headers: {Authorization: `Bearer ${key}`}" : ""}});
console.log(await answer.json());`;

const shell = (word) => `'${word.replaceAll("'", "'\\''")}'`;

function snippet(kind, code) {
  const details = element("details");
  const copy = element("button", text("request.copy"), { type: "button", onclick: () => navigator.clipboard.writeText(code) });
  const shown = element("pre", element("code", code), { tabIndex: 0 });
  details.append(element("summary", kind), shown, copy);
  details.open = kind === "curl";
  return details;
}
