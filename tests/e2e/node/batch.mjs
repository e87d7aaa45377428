// The batch API through the unmodified OpenAI SDK for Node. Prints what it got as one JSON object.
//
// Run by `test_e2e_sdks.py`; `sdk_script.py` is its twin. Environment: OPENAI_BASE_URL, OPENAI_API_KEY. Arguments: a
// small JSONL file and one of several parts.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI, { toFile } from "openai";
import { VERSION } from "openai/version";

const ENDED = ["completed", "failed", "expired", "cancelled"];
const CHAT = "/v1/chat/completions";
const PART_BYTES = 4 * 1024 * 1024;
const client = new OpenAI({ timeout: 30_000 });

async function upload(small, large) {
  // The file before the purpose: fields go out in this order.
  const file = await client.files.create({
    file: createReadStream(small),
    purpose: "batch",
    expires_after: { anchor: "created_at", seconds: 3600 },
  });
  const uploaded = await uploadInParts(large);
  const listed = [];
  for await (const one of client.files.list({ limit: 1, purpose: "batch" })) listed.push(one.id);
  const largeBytes = Buffer.from(await (await client.files.content(uploaded.file.id)).arrayBuffer());
  return {
    file,
    upload: uploaded,
    chunked_file: uploaded.file,
    retrieved_file: await client.files.retrieve(file.id),
    awaited_file: await client.files.waitForProcessing(file.id, { pollInterval: 100, maxWait: 30_000 }),
    listed_files: listed,
    content: await (await client.files.content(file.id)).text(),
    large_sha256: createHash("sha256").update(largeBytes).digest("hex"),
  };
}

async function uploadInParts(path) {
  const { size } = await stat(path);
  const begun = await client.uploads.create({
    bytes: size, filename: basename(path), mime_type: "application/jsonl", purpose: "batch",
  });
  const handle = await open(path);
  const partIds = [];
  try {
    for (let start = 0; start < size; start += PART_BYTES) {
      const { buffer, bytesRead } = await handle.read(
        Buffer.alloc(Math.min(PART_BYTES, size - start)), 0, undefined, start,
      );
      const data = await toFile(buffer.subarray(0, bytesRead), "part");
      partIds.push((await client.uploads.parts.create(begun.id, { data })).id);
    }
  } finally {
    await handle.close();
  }
  return client.uploads.complete(begun.id, { part_ids: partIds });
}

const create = (fileId, extra = {}) =>
  client.batches.create({ input_file_id: fileId, endpoint: CHAT, completion_window: "24h", ...extra });

// The batch as it was each time its status had changed, its end last.
async function follow(batchId) {
  const seen = [await client.batches.retrieve(batchId)];
  const giveUpAt = Date.now() + 120_000;
  while (!ENDED.includes(seen.at(-1).status)) {
    if (Date.now() > giveUpAt) throw new Error(`${batchId} is ${seen.at(-1).status} after 120 s`);
    await sleep(200);
    const batch = await client.batches.retrieve(batchId);
    if (batch.status === seen.at(-1).status) seen.pop();
    seen.push(batch);
  }
  return seen;
}

async function runBatch(fileId) {
  const created = await create(fileId, { metadata: { test: "e2e", sdk: "node" } });
  const seen = await follow(created.id);
  // More batches than a page holds, so that the list has to turn it.
  const others = [await create(fileId), await create(fileId)];
  for (const other of others) await follow(other.id);
  const listed = [];
  for await (const batch of client.batches.list({ limit: 1 })) listed.push(batch.id);
  const outputId = seen.at(-1).output_file_id;
  return {
    created,
    seen,
    output: await (await client.files.content(outputId)).text(),
    output_file: await client.files.retrieve(outputId),
    other_batches: others.map((other) => other.id),
    listed_batches: listed,
  };
}

async function cancelBatch(fileId) {
  const created = await create(fileId);
  const cancelling = await client.batches.cancel(created.id);
  return { cancelling, cancelled: (await follow(created.id)).at(-1) };
}

function wrongCalls(fileId, batchId) {
  const batch = { input_file_id: fileId, endpoint: CHAT, completion_window: "24h" };
  return {
    wrong_key: () => client.withOptions({ apiKey: "sk-offpeak-no" }).files.list(),
    unknown_file: () => client.files.retrieve("file-000000000000"),
    unknown_content: () => client.files.content("file-000000000000"),
    unknown_batch: () => client.batches.retrieve("batch_000000000000"),
    wrong_purpose: async () =>
      client.files.create({ file: await toFile(Buffer.from("{}\n"), "f.jsonl"), purpose: "fine-tune-results" }),
    wrong_window: () => client.batches.create({ ...batch, completion_window: "25 minutes" }),
    wrong_endpoint: () => client.batches.create({ ...batch, endpoint: "/v1/audio/speech" }),
    cancel_ended: () => client.batches.cancel(batchId),
  };
}

async function refused(call) {
  try {
    await call();
  } catch (error) {
    if (!(error instanceof OpenAI.APIError) || error.status === undefined) throw error;
    return { kind: error.constructor.name, status: error.status, body: { error: error.error } };
  }
  return { kind: "none" };
}

const report = { sdk: `node ${VERSION}`, ...(await upload(process.argv[2], process.argv[3])) };
Object.assign(report, await runBatch(report.chunked_file.id));
Object.assign(report, await cancelBatch(report.file.id));
report.errors = {};
for (const [name, call] of Object.entries(wrongCalls(report.file.id, report.created.id))) {
  report.errors[name] = await refused(call);
}
report.failed = (await follow((await create("file-000000000000")).id)).at(-1);
report.deleted = await client.files.delete(report.file.id);
console.log(JSON.stringify(report));
