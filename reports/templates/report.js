
"use strict";
(() => {
  const list = document.getElementById("list"), form = document.getElementById("filter");
  if (!list || !form) return;
  const q = document.getElementById("q"), count = document.getElementById("count"), none = document.getElementById("none");
  const body = list.tBodies[0];
  const rows = Array.from(body.rows, (tr, index) => {
    const text = (at) => tr.cells[at].textContent;
    return { tr, index, v: tr.className, s: -Number(tr.dataset.s), n: text(2), engine: text(3), e: tr.dataset.e, a: text(4), r: text(5), k: tr.dataset.k, p: "", all: "" };
  });
  for (const row of rows) row.p = Array.from(row.tr.lastElementChild.getElementsByTagName("code"), (code) => code.textContent).slice(0, -1);
  const selects = Array.from(form.querySelectorAll("select"));
  const collator = new Intl.Collator("en", { numeric: true });
  for (const select of selects) {
    const values = new Set(rows.flatMap((row) => row[select.dataset.key]));
    select.append(new Option("all", ""));
    for (const value of Array.from(values).sort(collator.compare)) select.append(new Option(value || "unknown", "=" + value));
    if (values.size < 2) select.parentElement.hidden = true;
  }
  const number = new Intl.NumberFormat("en");
  let shown = rows;
  const filter = () => {
    const words = q.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = new Set(Array.from(form.querySelectorAll("[name=v]:checked"), (box) => box.value));
    const picked = selects.filter((select) => select.value).map((select) => [select.dataset.key, select.value.slice(1)]);
    shown = rows.filter((row) => {
      let fits = wanted.has(row.v) && picked.every(([key, value]) => key === "p" ? row.p.includes(value) : row[key] === value);
      if (fits && words.length) {
        row.all = row.all || row.tr.textContent.toLowerCase();
        fits = words.every((word) => row.all.includes(word));
      }
      if (row.tr.hidden === fits) row.tr.hidden = !fits;
      return fits;
    });
    count.textContent = number.format(shown.length) + " of " + number.format(rows.length);
    none.hidden = shown.length > 0;
    document.getElementById("open").disabled = shown.length > 500;
  };
  let pending = 0;
  form.addEventListener("input", () => { cancelAnimationFrame(pending); pending = requestAnimationFrame(filter); });
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("open").addEventListener("click", () => {
    const details = shown.map((row) => row.tr.lastElementChild.firstElementChild);
    const open = !details.every((one) => one.open);
    for (const one of details) one.open = open;
  });
  const heads = Array.from(list.querySelectorAll("[data-sort]"));
  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const key = head.dataset.sort, up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const by = { v: (a, b) => a.index - b.index, s: (a, b) => a.s - b.s, e: (a, b) => collator.compare(a.engine, b.engine) };
      const compare = by[key] || ((a, b) => collator.compare(a[key], b[key]));
      const sorted = rows.slice().sort((a, b) => (up ? 1 : -1) * compare(a, b) || a.index - b.index);
      // Out of the page while rows move: in it, each of 20,000 moves would be looked at.
      body.remove();
      body.replaceChildren(...sorted.map((row) => row.tr));
      list.append(body);
    });
  }
  // A cell of the map leads to its resources.
  const pick = (key, value) => { const select = selects.find((one) => one.dataset.key === key); select.value = value ? "=" + value : ""; };
  for (const cell of document.querySelectorAll(".heat td[title]")) {
    const button = document.createElement("button"), row = cell.parentElement;
    button.type = "button";
    button.setAttribute("aria-label", [cell.textContent, row.cells[0].textContent, row.cells[1].textContent, cell.title].join(" "));
    button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => {
      form.reset();
      pick("a", row.cells[0].textContent);
      pick("r", row.cells[1].textContent);
      pick("e", cell.dataset.e);
      filter();
      document.getElementById("resources").scrollIntoView();
      q.focus({ preventScroll: true });
    });
  }
  form.hidden = false;
  filter();
  // So that the first search finds it done.
  const idle = window.requestIdleCallback || ((work) => setTimeout(work, 50));
  let next = 0;
  const prepare = () => {
    for (const end = Math.min(next + 500, rows.length); next < end; next++) rows[next].all = rows[next].all || rows[next].tr.textContent.toLowerCase();
    if (next < rows.length) idle(prepare);
  };
  idle(prepare);
})();
