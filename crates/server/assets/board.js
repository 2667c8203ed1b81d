// Keeps the page live: on every event it fetches the page again and swaps the parts marked with data-live.
// Without it every page still works; it only saves pressing reload.
"use strict";
(() => {
  const stamp = document.querySelector("[data-stamp]");
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
          if (next && next.innerHTML !== part.innerHTML) part.innerHTML = next.innerHTML;
        }
        document.body.classList.remove("stale");
      }
    } catch { document.body.classList.add("stale"); }
    pending = false;
    if (again) { again = false; refresh(); }
  }
  const events = new EventSource("/api/v1/events");
  events.addEventListener("change", refresh);
  events.onerror = () => { document.body.classList.add("stale"); if (stamp) stamp.textContent = "connection lost, showing the last known state"; };
  events.onopen = () => { document.body.classList.remove("stale"); };

  const log = document.querySelector("pre.log[data-follow]");
  if (log) {
    const stream = new EventSource(log.dataset.follow);
    stream.addEventListener("line", (event) => {
      const line = JSON.parse(event.data), row = document.createElement("span");
      row.className = "line" + (line.step ? " step" : ""); row.id = "L" + line.number;
      const no = document.createElement("a"); no.className = "no"; no.href = "#L" + line.number; no.textContent = line.number;
      row.append(no, line.text); log.append(row);
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
