// The page of the server. It asks /predict and /explain, and shows what they answer; texts are never made into markup.
"use strict";

const byId = (id) => document.getElementById(id);
const is = (fact) => document.body.dataset[fact] === "yes";
const FIRST_BARS = 8;
const WORDS = 10;
let asked = 0; // the number of the newest question: older answers are not shown any more

function element(name, content, className) {
  const made = document.createElement(name);
  if (content !== undefined) made.textContent = content;
  if (className) made.className = className;
  return made;
}

async function ask(path, question) {
  const headers = { "Content-Type": "application/json" };
  if (is("token")) headers.Authorization = `Bearer ${byId("token").value.trim()}`;
  let response;
  try {
    response = await fetch(path, { method: "POST", headers, body: JSON.stringify(question) });
  } catch (error) {
    throw new Error("The server does not answer. It may have ended.");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error || `The server answered with the code ${response.status}.`);
  return answer;
}

const percent = (probability) => `${(100 * probability).toFixed(1)} %`;

function showBars(ordered, given) {
  const list = byId("labels");
  list.replaceChildren();
  for (const [label, probability] of ordered) {
    const row = element("li");
    const name = element("span", label, given.includes(label) ? "given" : "");
    if (given.includes(label)) name.append(" ✓");
    const track = element("span", undefined, "track");
    const bar = element("div", undefined, "bar");
    bar.style.width = percent(probability).replace(" ", "");
    track.setAttribute("aria-hidden", "true");
    track.append(bar);
    row.append(name, element("span", percent(probability), "number"), track);
    list.append(row);
  }
}

function showSpans(text, spans) {
  byId("given").textContent = spans.length
    ? `${spans.length} ${spans.length === 1 ? "span" : "spans"}`
    : "No span was found.";
  const found = byId("found");
  found.hidden = !spans.length;
  showParts(found, text, spans, (span) => {
    const mark = element("mark", span.text, "for");
    if (span.text.length > 20) mark.classList.add("long"); // a phone has no room for it in one line
    mark.append(element("b", span.label));
    return mark;
  });
  showBars(spans.map((span) => [`${span.label}: ${span.text}`, span.score]), []);
}

function showPrediction(prediction, text) {
  byId("answer").hidden = false;
  byId("more").hidden = byId("found").hidden = true;
  byId("labels").replaceChildren();
  if (prediction.spans) {
    showSpans(text, prediction.spans);
    return [];
  }
  if (prediction.numbers) {
    byId("given").textContent = prediction.numbers.map((number) => number.toPrecision(6)).join(", ");
    return [];
  }
  const given = prediction.labels || [prediction.label];
  byId("given").textContent = given.length
    ? given.map((label) => `${label} (${percent(prediction.probabilities[label])})`).join(", ")
    : "No label: no probability reaches its label's threshold.";
  const ordered = Object.entries(prediction.probabilities).sort((a, b) => b[1] - a[1]);
  const first = Math.max(FIRST_BARS, given.length);
  showBars(ordered.slice(0, first), given);
  if (ordered.length > first) {
    const more = byId("more");
    more.hidden = false;
    more.textContent = `Show all ${ordered.length} labels`;
    more.onclick = () => {
      showBars(ordered, given);
      more.hidden = true;
      byId("answer").focus();
    };
  }
  return ordered.map(([label]) => label);
}

function signed(effect) {
  const number = Math.abs(effect).toFixed(2);
  return number === "0.00" ? "0.00" : `${effect < 0 ? "−" : "+"}${number}`;
}

function showParts(shown, text, parts, marked) {
  shown.replaceChildren();
  const characters = Array.from(text); // the server counts characters, not UTF-16 units
  let at = 0;
  for (const part of parts.sort((a, b) => a.start - b.start)) {
    shown.append(characters.slice(at, part.start).join(""), marked(part));
    at = part.end;
  }
  shown.append(characters.slice(at).join(""));
}

function showMarked(shown, text, words) {
  showParts(shown, text, words, (word) => {
    const mark = element("mark", word.word, word.effect < 0 ? "against" : "for");
    if (word.word.length > 20) mark.classList.add("long");
    mark.append(element("b", signed(word.effect)));
    return mark;
  });
}

function showWords(explanation) {
  const note = byId("words-note");
  const one = explanation.labels[0];
  const words = (one ? one.words : []).filter((word) => signed(word.effect) !== "0.00");
  showMarked(byId("marked"), explanation.text, words.filter((word) => !word.second));
  byId("marked-second").hidden = !is("pairs");
  showMarked(byId("marked-second"), explanation.second_text || "", words.filter((word) => word.second));
  note.textContent = explanation.complete ? "" : `Only the first ${explanation.tried} words were left out.`;
  if (!words.length) note.textContent = "No single word changes the probability much.";
}

async function explain(text, label, mine) {
  try {
    const explanation = await ask("explain", { text, label, most: WORDS });
    if (mine !== asked) return;
    showWords(explanation);
    byId("words").hidden = false;
  } catch (error) {
    if (mine === asked) byId("error").textContent = error.message;
  }
}

async function submit() {
  const mine = ++asked;
  const text = byId("first").value;
  const empty = !text.trim() || (is("pairs") && !byId("second").value.trim());
  byId("error").textContent = empty ? (is("pairs") ? "Type both texts first." : "Type a text first.") : "";
  if (empty) {
    (text.trim() ? byId("second") : byId("first")).focus();
    return;
  }
  byId("state").textContent = "Reading";
  byId("ask").setAttribute("aria-busy", "true");
  try {
    const question = { text: is("pairs") ? [text, byId("second").value] : text, probabilities: !is("spans") };
    const answer = await ask("predict", question);
    if (mine !== asked) return;
    const labels = showPrediction(answer.predictions[0], text);
    const given = answer.predictions[0].labels || labels;
    byId("words").hidden = true;
    if (is("explains") && labels.length) {
      const select = byId("label");
      select.replaceChildren(...labels.map((label) => new Option(label, label)));
      select.value = given.length ? given[0] : labels[0];
      select.onchange = () => explain(question.text, select.value, ++asked);
      await explain(question.text, select.value, mine);
    }
    if (mine === asked) byId("state").textContent = `Prediction: ${byId("given").textContent}`;
  } catch (error) {
    if (mine !== asked) return;
    byId("answer").hidden = byId("words").hidden = true;
    byId("state").textContent = "";
    byId("error").textContent = error.message;
  } finally {
    if (mine === asked) byId("ask").removeAttribute("aria-busy");
  }
}

byId("token-field").hidden = !is("token");
byId("second-field").hidden = !is("pairs");
byId("form").hidden = !is("predicts");
byId("vectors-only").hidden = is("predicts");
if (is("pairs")) byId("first-label").textContent = "First text";
byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
byId("form").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    submit();
  }
});
