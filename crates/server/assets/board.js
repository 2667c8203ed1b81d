// Keeps the page live: on every event it fetches the page again and swaps the parts marked with data-live.
// Without it every page still works; it only saves pressing reload.
"use strict";
(() => {
  const stamp = document.querySelector("[data-stamp]");
  const focusable = "a, button, summary, input";
  // Swaps one part and keeps what the reader did to it: opened folds, the marked row, the focus.
  function swap(part, html) {
    const open = [...part.querySelectorAll("details")].map((fold) => fold.open);
    const marked = [...part.querySelectorAll("[data-row]")].findIndex((row) => row.classList.contains("at"));
    const focused = [...part.querySelectorAll(focusable)].indexOf(document.activeElement);
    part.innerHTML = html;
    part.querySelectorAll("details").forEach((fold, at) => { fold.open = open[at] ?? false; });
    part.querySelectorAll("[data-row]")[marked]?.classList.add("at");
    part.querySelectorAll(focusable)[focused]?.focus({ preventScroll: true });
  }
  let pending = false, again = false;
  async function refresh() {
    if (pending) { again = true; return; }
    pending = true;
    try {
      const answer = await fetch(location.href, { headers: { "x-fragment": "1" } });
      if (answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const part of document.querySelectorAll("[data-live]")) {
          const next = fresh.getElementById(part.id);
          if (next && next.innerHTML !== part.innerHTML) swap(part, next.innerHTML);
        }
        const read = fresh.querySelector("[data-stamp]");
        if (stamp && read) stamp.innerHTML = read.innerHTML;
        document.body.classList.remove("stale");
      } else if (answer.redirected) location.reload();
    } catch { document.body.classList.add("stale"); }
    pending = false;
    if (again) { again = false; refresh(); }
  }
  const events = new EventSource("/api/v1/events");
  events.addEventListener("change", refresh);
  events.onerror = () => { document.body.classList.add("stale"); if (stamp) stamp.textContent = "connection lost, showing the last known state"; };
  // After a pause something may have changed unheard; ages grow by themselves.
  events.onopen = refresh;
  setInterval(() => { if (!document.hidden) refresh(); }, 30000);

  const log = document.querySelector("pre.log[data-follow]");
  if (log) {
    const stream = new EventSource(log.dataset.follow);
    stream.addEventListener("line", (event) => {
      const line = JSON.parse(event.data);
      if (document.getElementById("L" + line.number)) return;
      const end = document.documentElement, atEnd = end.scrollHeight - end.scrollTop - end.clientHeight < 40;
      const row = document.createElement("span");
      row.className = "line" + (line.step ? " step" : ""); row.id = "L" + line.number;
      const no = document.createElement("a"); no.className = "no"; no.href = "#L" + line.number; no.textContent = line.number;
      row.append(no, line.text); log.append(row);
      if (atEnd) end.scrollTop = end.scrollHeight;
    });
    stream.addEventListener("end", () => { stream.close(); refresh(); });
  }

  const rows = () => [...document.querySelectorAll("[data-row]")];
  let keys = "";
  document.addEventListener("keydown", (event) => {
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || event.metaKey || event.ctrlKey) return;
    keys = (keys + event.key).slice(-2);
    const all = rows(), at = all.findIndex((row) => row.classList.contains("at"));
    const go = (next) => { all[at]?.classList.remove("at"); all[next]?.classList.add("at"); all[next]?.scrollIntoView({ block: "nearest" }); };
    if (keys === "go") location.href = "/";
    else if (keys === "gr") location.href = "/runs";
    else if (event.key === "j") go(Math.min(at + 1, all.length - 1));
    else if (event.key === "k") go(Math.max(at - 1, 0));
    else if (event.key === "Enter" && all[at]) all[at].querySelector("a")?.click();
    else if (event.key === "/") { event.preventDefault(); document.querySelector("input[type=search]")?.focus(); }
    else if (event.key === "?") document.querySelector("dialog.keys")?.showModal();
  });
})();
