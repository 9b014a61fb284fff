"use strict";
// Everything can be read without this script. It sorts and copies tables, switches light and dark, and marks where one is.
(() => {
  const root = document.documentElement;
  const all = (query, inside = document) => [...inside.querySelectorAll(query)];

  // Light and dark
  const remembered = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
  if (remembered) root.dataset.theme = remembered;
  const isDark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  for (const button of all("button.theme")) {
    const name = () => { button.textContent = isDark() ? "Light page" : "Dark page"; };
    button.hidden = false;
    name();
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      try { localStorage.setItem("theme", root.dataset.theme); } catch { /* not remembered then */ }
      all("button.theme").forEach((each) => { each.textContent = isDark() ? "Light page" : "Dark page"; });
    });
  }

  // Tables: sort by a column, copy as tab-separated text
  const exact = (cell) => (cell.dataset.value ?? cell.innerText).trim();
  function order(a, b) {
    const [x, y] = [parseFloat(a), parseFloat(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, undefined, { numeric: true }) : x - y || a.localeCompare(b, undefined, { numeric: true });
  }
  for (const table of all("table.sortable")) {
    const heads = all("thead th", table), body = table.tBodies[0];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") === "descending" || (!head.hasAttribute("aria-sort") && head.classList.contains("text"));
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...body.rows].sort((a, b) => (up ? 1 : -1) * order(exact(a.cells[column]), exact(b.cells[column])));
        body.append(...rows);
      });
    });
  }
  async function put(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  }
  for (const button of all("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.of);
      const text = source.tagName === "TABLE"
        ? [...source.rows].map((row) => [...row.cells].map(exact).join("\t")).join("\n") + "\n"
        : source.innerText;
      await put(text);
      const label = button.textContent;
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = label; }, 1500);
    });
  }

  // A link into something folded opens it; so does printing
  function unfold() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
    if (target) target.scrollIntoView();
  }
  addEventListener("hashchange", unfold);
  let opened = [];
  addEventListener("beforeprint", () => { opened = all("main details:not([open])"); opened.forEach((each) => { each.open = true; }); });
  addEventListener("afterprint", () => { opened.forEach((each) => { each.open = false; }); });
  if (location.hash) unfold();

  // Where one is, in the navigation; and the small menu closes after a choice
  const links = new Map(all("nav.side a").map((link) => [link.hash.slice(1), link]));
  const watched = all("main h1, main h2, main h3").filter((head) => links.has(head.id));
  const seen = new Set();
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) entry.isIntersecting ? seen.add(entry.target) : seen.delete(entry.target);
    const current = watched.find((head) => seen.has(head)) ?? watched.filter((head) => head.getBoundingClientRect().top < 80).pop();
    links.forEach((link) => link.removeAttribute("aria-current"));
    if (current) links.get(current.id).setAttribute("aria-current", "location");
  }, { rootMargin: "0px 0px -65% 0px" });
  watched.forEach((head) => observer.observe(head));
  const menu = document.querySelector("details.menu");
  all("a", menu).forEach((link) => link.addEventListener("click", () => { menu.open = false; }));
})();
