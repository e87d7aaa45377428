// A batch through the OpenAI SDK: `npm install openai`, then run this with OPENAI_BASE_URL and OPENAI_API_KEY set.
//
//     OPENAI_BASE_URL=https://…/v1 OPENAI_API_KEY=sk-offpeak-… node examples/quickstart.mjs [FILE]

import { createReadStream } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import OpenAI from "openai";

const ENDED = new Set(["completed", "failed", "expired", "cancelled"]);

const path = process.argv[2] ?? fileURLToPath(new URL("demo.jsonl", import.meta.url));
const client = new OpenAI();

const file = await client.files.create({ file: createReadStream(path), purpose: "batch" });
let batch = await client.batches.create({
  input_file_id: file.id,
  endpoint: "/v1/chat/completions",
  completion_window: "24h",
  metadata: { example: "quickstart" },
});
console.log(batch.id);

while (!ENDED.has(batch.status)) {
  await sleep(1000);
  batch = await client.batches.retrieve(batch.id);
  const { completed, failed, total } = batch.request_counts;
  console.log(`${batch.status}: ${completed + failed} of ${total} lines`);
}

for (const error of batch.errors?.data ?? []) {
  console.log(`line ${error.line}: ${error.message} (${error.code})`);
}
for (const id of [batch.output_file_id, batch.error_file_id]) {
  if (!id) continue;
  const lines = (await (await client.files.content(id)).text()).trim().split("\n");
  for (const line of lines) {
    const result = JSON.parse(line);
    const answer = result.response?.body?.choices?.[0]?.message?.content;
    console.log(`${result.custom_id}: ${JSON.stringify(answer ?? result.error ?? result.response?.body)}`);
  }
}
process.exitCode = batch.status === "completed" ? 0 : 1;
