// One large file through the unmodified OpenAI SDK for Node: chunked, and the file before the purpose. Prints the file.
//
// Run by `test_e2e_door.py`. Environment: OPENAI_BASE_URL, OPENAI_API_KEY. Argument: a file.

import { createReadStream } from "node:fs";
import OpenAI from "openai";

const client = new OpenAI({ timeout: 60_000 });
const file = await client.files.create({ file: createReadStream(process.argv[2]), purpose: "batch" });
console.log(JSON.stringify(file));
