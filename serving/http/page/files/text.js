// What the page says, in the language that was chosen: a JSON file each, English where a text is missing.

export const LANGUAGES = ["en", "ru"];
const KEPT = "emotions.language";
let english = {};
let texts = {};

/** The text of a key, with values in its places: {name}. */
export function text(key, values = {}) {
  const found = texts[key] ?? english[key] ?? key;
  return found.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/** Load the language that was chosen before, or the browser's, and fill the page. */
export async function startLanguage(select, changed) {
  english = await load("en");
  const wanted = localStorage.getItem(KEPT) ?? navigator.language.slice(0, 2);
  const names = await Promise.all(LANGUAGES.map(async (each) => (await load(each)).name));
  select.replaceChildren(...LANGUAGES.map((each, place) => new Option(names[place], each)));
  select.value = LANGUAGES.includes(wanted) ? wanted : "en";
  select.addEventListener("change", async () => {
    localStorage.setItem(KEPT, select.value);
    await use(select.value);
    changed();
  });
  await use(select.value);
}

async function use(language) {
  texts = await load(language);
  document.documentElement.lang = language;
  document.title = text("title");
  for (const each of document.querySelectorAll("[data-text]")) each.textContent = text(each.dataset.text);
}

async function load(language) {
  const carried = document.getElementById("texts"); // of a page in one file, which can fetch none
  if (carried) return JSON.parse(carried.textContent)[language];
  return (await fetch(new URL(`./${language}.json`, import.meta.url))).json();
}
