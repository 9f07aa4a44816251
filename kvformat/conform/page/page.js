"use strict";
const form = document.querySelector(".filters");
const cases = [...document.querySelectorAll(".case")];
const words = new Map(cases.map((one) => [one, `${one.querySelector("summary").textContent} ${one.dataset.words}`.toLowerCase()]));
const has = (list, wanted) => wanted === "" || list.split(" ").includes(wanted);
const KEYS = ["text", "verdict", "clause", "operation"];

function apply() {
  const [text, verdict, clause, operation] = KEYS.map((key) => form.elements[key].value);
  const wanted = text.toLowerCase().split(/\s+/);
  let count = 0;
  for (const one of cases) {
    const shown = has(one.dataset.verdicts, verdict) && has(one.dataset.clauses, clause) &&
      has(one.dataset.operation, operation) && wanted.every((word) => words.get(one).includes(word));
    one.hidden = !shown;
    count += shown;
  }
  form.querySelector("output").textContent = `${count} of ${cases.length}`;
  document.querySelector(".none").hidden = count > 0;
}

function remember() {
  const set = new URLSearchParams(KEYS.map((key) => [key, form.elements[key].value]).filter(([, value]) => value !== ""));
  history.replaceState(null, "", set.size > 0 ? `#?${set}` : location.pathname + location.search);
}

function fill(values) {
  for (const key of KEYS) form.elements[key].value = values[key] ?? "";
  apply();
}

function recall() {
  if (location.hash.startsWith("#?")) fill(Object.fromEntries(new URLSearchParams(location.hash.slice(2))));
  else apply();
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named?.matches(".case")) {
    named.hidden = false;
    named.open = true;
    named.scrollIntoView();
  }
}

form.hidden = false;
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", () => { apply(); remember(); });
form.addEventListener("reset", (event) => { event.preventDefault(); fill({}); remember(); });
for (const button of document.querySelectorAll("button[data-clause]")) {
  button.addEventListener("click", () => {
    fill({clause: button.dataset.clause});
    remember();
    form.scrollIntoView();
    form.elements.clause.focus();
  });
}
window.addEventListener("hashchange", recall);
recall();
