
"use strict";
(() => {
  const list = document.getElementById("list"), form = document.getElementById("filter");
  if (!list || !form) return;
  const q = document.getElementById("q"), count = document.getElementById("count"), none = document.getElementById("none");
  const rows = Array.from(list.children, (li, index) => {
    const cells = li.querySelector("summary").children;
    const text = (at) => cells[at].textContent;
    return { li, index, v: li.className, s: -Number(li.dataset.s), n: text(2), engine: text(3), e: li.dataset.e, a: text(4), r: text(5), all: "" };
  });
  const selects = Array.from(form.querySelectorAll("select"));
  const collator = new Intl.Collator("en", { numeric: true });
  for (const select of selects) {
    const values = new Set(rows.map((row) => row[select.dataset.key]));
    select.append(new Option("all", ""));
    for (const value of Array.from(values).sort(collator.compare)) select.append(new Option(value || "unknown", "=" + value));
    if (values.size < 2) select.parentElement.hidden = true;
  }
  const number = new Intl.NumberFormat("en");
  let shown = rows;
  const filter = () => {
    const words = q.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = new Set(Array.from(form.querySelectorAll("[name=v]:checked"), (box) => box.value));
    const picked = selects.filter((select) => select.value);
    shown = rows.filter((row) => {
      let fits = wanted.has(row.v) && picked.every((select) => "=" + row[select.dataset.key] === select.value);
      if (fits && words.length) {
        row.all = row.all || row.li.textContent.toLowerCase();
        fits = words.every((word) => row.all.includes(word));
      }
      row.li.hidden = !fits;
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
    const details = shown.map((row) => row.li.firstElementChild);
    const open = !details.every((one) => one.open);
    for (const one of details) one.open = open;
  });
  const buttons = Array.from(document.querySelectorAll("[data-sort]"));
  for (const button of buttons) {
    button.disabled = false;
    button.addEventListener("click", () => {
      const key = button.dataset.sort, up = button.dataset.dir !== "up";
      for (const other of buttons) { delete other.dataset.dir; other.setAttribute("aria-pressed", "false"); }
      button.dataset.dir = up ? "up" : "down";
      button.setAttribute("aria-pressed", "true");
      const by = { v: (a, b) => a.index - b.index, s: (a, b) => a.s - b.s, e: (a, b) => collator.compare(a.engine, b.engine) };
      const compare = by[key] || ((a, b) => collator.compare(a[key], b[key]));
      const sorted = rows.slice().sort((a, b) => (up ? 1 : -1) * compare(a, b) || a.index - b.index);
      // Out of the page while rows move: in it, each of 20,000 moves would be looked at.
      const parent = list.parentNode, next = list.nextSibling;
      list.remove();
      list.replaceChildren(...sorted.map((row) => row.li));
      parent.insertBefore(list, next);
    });
  }
  form.hidden = false;
  filter();
})();
