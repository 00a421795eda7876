// The server: one function per path, with refusals as Problem, and uploads that report how much has left.

const RECONNECT = 1000;

export class Problem extends Error {
  constructor(values, status, retry) {
    super(values.detail || values.title || "The server gave no reason.");
    this.reason = values.reason || "unknown";
    this.status = status;
    this.retry = retry;
  }
}

export class Offline extends Error {}

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function problem(response) {
  const values = await response.json().catch(() => ({ detail: `${response.status} ${response.statusText}` }));
  return new Problem(values, response.status, Number(response.headers.get("Retry-After") || 0));
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Offline("The server does not answer.");
  }
  if (!response.ok) throw await problem(response);
  return response;
}

export const listRuns = async () => (await ask("/v1/runs")).json();
export const showRun = async (name) => (await ask(`/v1/runs/${encodeURIComponent(name)}`)).json();
export const result = async (id) => (await ask(`/v1/jobs/${id}/result.json?members=true`)).json();
export const text = async (id, form) => (await ask(`/v1/jobs/${id}/${form}`)).text();
export const table = async (ids, form) => (await ask(`/v1/tables/${form}`, { method: "POST", body: ids.join("\n") })).text();
export const explanation = async (id, number, member) => {
  const response = await ask(`/v1/jobs/${id}/segments/${number}/explanation.png?${new URLSearchParams({ member })}`);
  return { image: await createImageBitmap(await response.blob()), passes: response.headers.get("Spectro-Check") === "passes" };
};
export const forget = (id) => ask(`/v1/jobs/${id}`, { method: "DELETE" }).catch(() => null);
export const login = (token) => ask("/v1/session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
export const audioPath = (id) => `/v1/jobs/${id}/audio`;
export const tilePath = (id, number) => `/v1/jobs/${id}/segments/${number}.png`;

/** Send a file; resolves with its job, however often the server has to be asked again because it is busy. */
export async function send(blob, name, run, { signal, onSent }) {
  const query = new URLSearchParams({ name, run });
  for (;;) {
    try {
      return await upload(`/v1/predictions?${query}`, blob, signal, onSent);
    } catch (error) {
      if (!(error instanceof Problem && [429, 503].includes(error.status))) throw error;
      await sleep(1000 * (error.retry || 2) * (0.75 + Math.random() / 2));
      signal.throwIfAborted();
    }
  }
}

/** XMLHttpRequest, for fetch cannot tell how much of a body has been sent. */
function upload(path, blob, signal, onSent) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const abort = () => request.abort();
    signal.addEventListener("abort", abort, { once: true });
    request.open("POST", path);
    request.setRequestHeader("Prefer", "respond-async");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.onprogress = (event) => onSent(event.total ? event.loaded / event.total : 0);
    request.onload = () => {
      if (request.status === 202) resolve(request.response);
      else reject(new Problem(request.response || {}, request.status, Number(request.getResponseHeader("Retry-After") || 0)));
    };
    request.onerror = () => reject(new Offline("The server does not answer."));
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
    request.onloadend = () => signal.removeEventListener("abort", abort);
    request.send(blob);
  });
}

/** Follow a job to its end; resolves with its last state. */
export async function follow(id, { signal, onState }) {
  for (;;) {
    for await (const job of states(id, signal)) {
      onState(job);
      if (job.state === "done") return job;
      if (job.problem) throw new Problem(job.problem, job.problem.status, 0);
      if (job.state === "stopped") throw new Problem({ detail: "It was stopped.", reason: "stopped" }, 410, 0);
    }
    await sleep(RECONNECT); // something between here and the server hung up
  }
}

/** Yield a job's states as the server sends them; fetch, for an EventSource tells neither status nor reason. */
async function* states(id, signal) {
  const response = await ask(`/v1/jobs/${id}/events`, { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read().catch((error) => {
      if (error.name === "AbortError") throw error;
      throw new Offline("The server does not answer.");
    });
    if (done) return;
    const events = (text + value).split("\n\n");
    text = events.pop();
    for (const event of events) {
      const data = event.split("\n").find((line) => line.startsWith("data: "));
      if (data) yield JSON.parse(data.slice(6));
    }
  }
}
