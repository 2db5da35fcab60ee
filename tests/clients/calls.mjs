// The calls of npm's openai: prints {name: what was heard} as one line of JSON. Arguments: base URL, the package's folder.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [url, folder] = process.argv.slice(2);
const entry = createRequire(`${folder}/package.json`).resolve("openai");
const { default: OpenAI, toFile } = await import(pathToFileURL(entry));
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "k", maxRetries: 0 });

const model = "m";
const messages = [{ role: "user", content: "What is the capital of France? \u00e9\u{1F600}" }];
const image = { type: "image_url", image_url: { url: "data:image/png;base64," + "A".repeat(1000) } };
const tool = { type: "function", function: { name: "look", parameters: { type: "object" } } };
const say = (what) => ({ headers: { "x-say": String(what) } });
const file = () => toFile(Buffer.from("RIFF\u0000".repeat(1000)), "a.wav", { type: "audio/wav" });
const picture = () => toFile(Buffer.from("PNG".repeat(100)), "a.png", { type: "image/png" });
const completions = client.completions;
const chat = client.chat.completions;

const calls = {
  "completion": () => completions.create({ model, prompt: "x" }),
  "completion of a list": () => completions.create({ model, prompt: ["x", "y"], n: 2 }),
  "completion of tokens": () => completions.create({ model, prompt: [1, 2, 3], max_tokens: 5 }),
  "completion with options": () => completions.create({ model, prompt: "x", stop: ["a"], logprobs: 1, seed: 7 }),
  "completion stream": () => completions.create({ model, prompt: "x", stream: true }),
  "completion stream with usage": () =>
    completions.create({ model, prompt: "x", stream: true, stream_options: { include_usage: true } }),
  "chat": () => chat.create({ model, messages }),
  "chat stream": () => chat.create({ model, messages, stream: true }),
  "chat stream with usage": () =>
    chat.create({ model, messages, stream: true, stream_options: { include_usage: true } }),
  "chat with tools": () => chat.create({ model, messages, tools: [tool] }),
  "chat with a format": () => chat.create({ model, messages, response_format: { type: "json_object" } }),
  "chat with an image": () => chat.create({ model, messages: [{ role: "user", content: [image] }] }),
  "long chat": () => chat.create({ model, messages: Array(500).fill(messages[0]) }),
  "chat with more": () => chat.create({ model, messages }, { headers: { "x-own": "1" }, query: { q: "a b" } }),
  "embeddings": () => client.embeddings.create({ model, input: "x", encoding_format: "float" }),
  "embeddings of a list": () =>
    client.embeddings.create({ model, input: Array(100).fill("x"), encoding_format: "float" }),
  "response": () => client.responses.create({ model, input: "x" }),
  "response stream": () => client.responses.create({ model, input: "x", stream: true }),
  "moderation": () => client.moderations.create({ model, input: "x" }),
  "transcription": async () => client.audio.transcriptions.create({ model, file: await file() }),
  "translation": async () => client.audio.translations.create({ model, file: await file() }),
  "speech": async () => {
    const spoken = await client.audio.speech.create({ model, input: "x", voice: "alloy" });
    return Buffer.from(await spoken.arrayBuffer()).toString("hex");
  },
  "images": () => client.images.generate({ model, prompt: "x" }),
  "image edit": async () => client.images.edit({ model, prompt: "x", image: await picture() }),
  "error event": () => completions.create({ model, prompt: "x", stream: true }, say("error-event")),
  "error time-out": () => completions.create({ model, prompt: "x" }, { ...say("silence"), timeout: 300 }),
};
for (const status of [400, 401, 403, 404, 409, 422, 429, 500, 503]) {
  calls[`error ${status}`] = () => chat.create({ model, messages }, say(status));
}
for (const status of [400, 404, 429]) {
  calls[`error ${status} of a stream`] = () => chat.create({ model, messages, stream: true }, say(status));
}

const heard = async (call) => {
  try {
    const answer = await call();
    if (answer === null || typeof answer !== "object" || !answer[Symbol.asyncIterator]) return { answer };
    const events = [];
    for await (const event of answer) events.push(event);
    return { events };
  } catch (error) {
    const { status, code, param, type, message } = error;
    return { error: error.constructor.name, status, code, param, type, message };
  }
};

const results = {};
for (const [name, call] of Object.entries(calls)) results[name] = await heard(call);
console.log(JSON.stringify(results));
