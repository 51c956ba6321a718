// Calls of the API: JSON in and out, the token that changes need, an error's line as the error.

const csrf = document.querySelector('meta[name="csrf"]').content;

export class Refused extends Error {
  constructor(status, answer) {
    super(typeof answer.detail === "string" ? answer.detail : `the server answered ${status}`);
    this.status = status;
    this.answer = answer;
  }
}

async function answer(response) {
  const body = await response.json().catch(() => ({}));
  if (response.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
  if (!response.ok) throw new Refused(response.status, body);
  return body;
}

export async function get(path, signal) {
  return answer(await fetch(path, { signal, headers: { Accept: "application/json" } }));
}

export async function post(path, body = {}) {
  return answer(
    await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
      body: JSON.stringify(body),
    }),
  );
}

// A line for the person; read out by screen readers.
export function say(text) {
  document.getElementById("said").textContent = text;
}

// An element with text and attributes: nothing of a server's answer is ever read as HTML.
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
