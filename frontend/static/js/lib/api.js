// The only module that fetches: CSRF, errors in words, idempotency keys, retries, and an event when the session has ended.

/** What the server refused, in words for people; `status` 0 means that it could not be reached. */
export class ApiError extends Error {
  constructor(message, { status = 0, kind = "unreachable", detail = {} } = {}) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.kind = kind;
    this.detail = detail;
  }

  /** Whether the same request may succeed later unchanged. */
  get temporary() {
    return this.status === 0 || this.status === 429 || this.status >= 502;
  }
}

/** Fired on `window` when a request meets an ended session; lib/session.js offers to sign in again. */
export const SESSION_ENDED = "ecgfm:session-ended";

/** The address of an API resource: `url("claims", 7, "heartbeat")`. The root comes from Django on the body element. */
export const url = (...parts) => document.body.dataset.api + parts.map(encodeURIComponent).join("/");

function cookie(name) {
  const found = document.cookie.split("; ").find((part) => part.startsWith(`${name}=`));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
}

const endedMessage = "Your session has ended. Sign in again to go on; nothing you entered is lost.";

function words(body, status) {
  if (body && typeof body.message === "string") return body.message;
  if (body && typeof body.detail === "string") return body.detail;
  if (body && typeof body === "object") {
    // A serializer's answer: {"field": ["what is wrong"]}.
    const lines = Object.entries(body).map(([field, why]) => `${field}: ${[].concat(why).join(" ")}`);
    if (lines.length) return lines.join("\n");
  }
  if (status === 404) return "This no longer exists, or you may not see it.";
  if (status >= 500) return `The server failed (${status}). Try again; if it goes on, tell your administrator.`;
  return `The server refused this (${status}).`;
}

async function refusal(response) {
  const type = response.headers.get("Content-Type") || "";
  const body = type.includes("json") ? await response.json().catch(() => null) : null;
  return new ApiError(words(body, response.status), {
    status: response.status,
    kind: (body && body.error) || "failed",
    detail: body || {},
  });
}

function sessionEnded(response) {
  const login = document.body.dataset.loginUrl;
  return response.status === 401 || (response.redirected && login && new URL(response.url).pathname === login);
}

async function send(method, address, { body, headers = {}, signal, keepalive = false } = {}) {
  const options = { method, headers: { Accept: "application/json", ...headers }, credentials: "same-origin", signal, keepalive };
  if (body instanceof FormData || body instanceof URLSearchParams) {
    options.body = body;
  } else if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  if (method !== "GET") options.headers["X-CSRFToken"] = cookie("csrftoken");
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server can't be reached. Check the network; what you entered is kept on this computer.");
  }
  if (sessionEnded(response)) {
    window.dispatchEvent(new CustomEvent(SESSION_ENDED));
    throw new ApiError(endedMessage, { status: 401, kind: "session_ended" });
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function json(method, address, options) {
  const response = await send(method, address, options);
  return response.status === 204 ? null : response.json();
}

/** GET JSON. */
export const get = (address, options = {}) => json("GET", address, options);
/** POST a JSON body (or FormData for an upload) and return the JSON answer, null where there is none. */
export const post = (address, body = {}, options = {}) => json("POST", address, { ...options, body });
/** PUT a JSON body. */
export const put = (address, body = {}, options = {}) => json("PUT", address, { ...options, body });
/** DELETE. */
export const del = (address, options = {}) => json("DELETE", address, options);

/** GET bytes as an ArrayBuffer. */
export async function bytes(address, options = {}) {
  const response = await send("GET", address, { ...options, headers: { Accept: "application/octet-stream, application/json" } });
  return response.arrayBuffer();
}

/** GET a piece of a page as HTML text. */
export async function html(address, options = {}) {
  const response = await send("GET", address, { ...options, headers: { Accept: "text/html" } });
  return response.text();
}

/** POST a form with its files and return the JSON answer; `onProgress(sent, total)` counts bytes, which fetch can't. */
export function upload(address, form, { onProgress = () => {}, signal } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const unreachable = () => reject(new ApiError("The upload broke off. Check the network, then upload the file again."));
    request.open("POST", address);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("X-CSRFToken", cookie("csrftoken"));
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded, event.total));
    request.addEventListener("error", unreachable);
    request.addEventListener("abort", unreachable);
    request.addEventListener("load", async () => {
      const headers = { "Content-Type": request.getResponseHeader("Content-Type") || "" };
      const response = new Response(request.responseText, { status: request.status || 500, headers });
      const login = document.body.dataset.loginUrl;
      if (login && new URL(request.responseURL, window.location).pathname === login) {
        reject(new ApiError(endedMessage, { status: 401, kind: "session_ended" }));
      } else if (response.ok) resolve(await response.json());
      else reject(await refusal(response));
    });
    signal?.addEventListener("abort", () => request.abort());
    request.send(new FormData(form));
  });
}

/** Run a request again while it fails for a passing reason; `onRetry(error, seconds)` tells the person. */
export async function retrying(action, { attempts = 6, onRetry = () => {} } = {}) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof ApiError) || !error.temporary || attempt >= attempts) throw error;
      const seconds = Math.min(2 ** (attempt - 1), 15);
      onRetry(error, seconds);
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    }
  }
}

/** A key that makes a repeated submit the same submit. (crypto.randomUUID needs https; this doesn't.) */
export function idempotencyKey() {
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = (b[6] & 0x0f) | 0x40;
  b[8] = (b[8] & 0x3f) | 0x80;
  const hex = Array.from(b, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Sign in again without leaving the page; false where name or password were refused. */
export async function signInAgain(username, password) {
  const login = document.body.dataset.loginUrl;
  await fetch(login, { credentials: "same-origin" }); // sets the CSRF cookie
  const form = new URLSearchParams({ username, password });
  const response = await fetch(login, {
    method: "POST",
    body: form,
    credentials: "same-origin",
    headers: { "X-CSRFToken": cookie("csrftoken") },
  });
  if (response.status === 429) throw new ApiError("Too many wrong passwords. Wait 15 minutes, then try again.", { status: 429, kind: "locked" });
  return response.redirected && new URL(response.url).pathname !== login;
}
