// What pages do better with JavaScript: they go on by themselves. Nothing here is needed.
"use strict";

const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

// A part of a page that is fetched anew while somebody looks at it.
async function refresh(part) {
  const seconds = Number(part.dataset.refresh);
  for (;;) {
    await sleep(seconds);
    if (document.hidden || part.contains(document.activeElement)) continue;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("[data-refresh]");
      if (fresh) part.replaceChildren(...fresh.childNodes);
    } catch {
      // The daemon may be restarting: the next time tells.
    }
  }
}

// The log, followed for as long as its end is in view.
async function follow(log) {
  let last = log.dataset.last;
  log.scrollTop = log.scrollHeight;
  for (;;) {
    await sleep(1);
    if (document.hidden) continue;
    try {
      const answer = await fetch("/log/lines?after=" + encodeURIComponent(last));
      if (!answer.ok) return;
      last = answer.headers.get("x-last-line") ?? last;
      const text = await answer.text();
      if (!text) continue;
      const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
      log.append(text);
      if (atEnd) log.scrollTop = log.scrollHeight;
    } catch {
      // As above.
    }
  }
}

document.documentElement.classList.add("script");
document.querySelectorAll("[data-refresh]").forEach(refresh);
document.querySelectorAll("#log").forEach(follow);
