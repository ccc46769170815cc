"use strict";

const at = (id) => document.getElementById(id);
const count = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
const thumbnail = (id) => `/api/thumbnail?${new URLSearchParams({ id })}`;

// Pictures that were uploaded, so that the back button can show their results again.
const uploads = [];
let newest = 0; // number of the newest request; the answers to older ones are ignored
let shown = null; // object URL of the preview

async function request(url, options) {
  const response = await fetch(url, options);
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.detail || `The service answered with status ${response.status}.`);
  return answer;
}

// Runs a search or a draw, and shows the result unless a newer one has been started.
async function run(load, show) {
  const number = ++newest;
  at("problem").hidden = true;
  at("status").textContent = "Searching …";
  document.querySelector(".found").setAttribute("aria-busy", "true");
  try {
    const start = performance.now();
    const answer = await load();
    if (number === newest) show(answer, performance.now() - start);
  } catch (error) {
    if (number !== newest) return;
    const offline = error instanceof TypeError;
    at("status").textContent = "";
    at("problem").textContent = offline ? "The service cannot be reached." : error.message;
    at("problem").hidden = false;
  } finally {
    if (number === newest) document.querySelector(".found").removeAttribute("aria-busy");
  }
}

function tile(picture, rank, bits, own) {
  const item = at("tile").content.cloneNode(true).firstElementChild;
  const find = (name) => item.querySelector(name);
  const image = find("img");
  image.src = thumbnail(picture.id);
  const failed = () => { image.alt = "cannot be shown"; };
  // The service may have been overloaded; try once more.
  const retry = () => {
    image.addEventListener("error", failed, { once: true });
    image.src = `${thumbnail(picture.id)}&again=1`;
  };
  image.addEventListener("error", () => setTimeout(retry, 1000), { once: true });
  find(".name").textContent = picture.name;
  find(".label").textContent = picture.label || "";
  find("button").title = picture.id;
  find("button").addEventListener("click", () => go({ id: picture.id }, true));
  if (rank) {
    find(".rank").textContent = rank;
    find(".distance").textContent = count(picture.distance, "bit");
    find(".bar").hidden = false;
    find(".bar span").style.width = `${(100 * picture.distance) / bits}%`;
    find(".same").hidden = !own;
    item.classList.toggle("own", own);
  }
  return item;
}

function describe(version, total) {
  at("index").textContent = `${count(total, "picture")} in the index (version ${version}).`;
}

function showFound(id) {
  return (answer, milliseconds) => {
    const found = answer.neighbours;
    at("results").replaceChildren(
      ...found.map((picture, i) => tile(picture, i + 1, answer.bits, picture.id === id)));
    at("results-title").textContent = "Nearest pictures";
    at("explain").textContent =
      `Ranked by Hamming distance between codes of ${count(answer.bits, "bit")}. Select one to search from it.`;
    at("others").textContent = "Show pictures in the index";
    at("status").textContent =
      `${count(found.length, "picture")} of ${answer.searched.toLocaleString("en")}, in ${Math.round(milliseconds)} ms`;
    describe(answer.version, answer.searched);
  };
}

function showSample(answer) {
  at("results").replaceChildren(...answer.pictures.map((picture) => tile(picture)));
  at("results-title").textContent = "Pictures in the index";
  at("explain").textContent = answer.total
    ? "Select a picture to find similar ones."
    : "The index is empty.";
  at("others").textContent = "Show others";
  at("status").textContent = `${count(answer.pictures.length, "picture")} drawn at random`;
  describe(answer.version, answer.total);
}

function preview(url, alt) {
  if (shown) URL.revokeObjectURL(shown);
  shown = url && url.startsWith("blob:") ? url : null;
  at("preview").hidden = !url;
  if (url) at("preview").src = url;
  at("preview").alt = alt;
}

// Shows a state of the page: {id}, {upload} or {seed}.
function show(state) {
  const k = at("k").value;
  if (state.id !== undefined) {
    preview(thumbnail(state.id), "The selected picture");
    return run(() => request(`/api/search/id?${new URLSearchParams({ id: state.id, k })}`), showFound(state.id));
  }
  const file = uploads[state.upload];
  if (file) {
    preview(URL.createObjectURL(file), "Your picture");
    const body = new FormData();
    body.append("picture", file);
    return run(() => request(`/api/search/picture?k=${k}`, { method: "POST", body }), showFound());
  }
  preview("", "");
  const seed = state.seed || 0;
  return run(() => request(`/api/pictures?number=24&seed=${seed}`), showSample);
}

async function go(state, moveFocus) {
  history.pushState(state, "", state.id === undefined ? "/" : `/?${new URLSearchParams({ id: state.id })}`);
  await show(state);
  if (moveFocus) {
    at("results-title").focus({ preventScroll: true });
    if (matchMedia("(max-width: 48rem)").matches) at("preview").scrollIntoView({ block: "start" });
    else scrollTo(0, 0);
  }
}

function upload(files) {
  const file = [...files].find((one) => one.type.startsWith("image/")) || files[0];
  if (file) go({ upload: uploads.push(file) - 1 }, false);
}

at("file").addEventListener("change", (event) => {
  upload(event.target.files);
  event.target.value = ""; // so that the same file can be chosen again
});
at("k").addEventListener("change", () => {
  if (history.state?.id !== undefined || history.state?.upload !== undefined) show(history.state);
});
at("others").addEventListener("click", () =>
  go({ seed: Math.floor(Math.random() * 2 ** 31) }, true));
document.addEventListener("paste", (event) => upload(event.clipboardData.files));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  upload(event.dataTransfer.files);
});
addEventListener("popstate", (event) => show(event.state || {}));

const asked = new URLSearchParams(location.search).get("id");
const first = asked === null ? { seed: 0 } : { id: asked };
history.replaceState(first, "");
show(first);
