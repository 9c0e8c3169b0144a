// Validates openapi.json and asyncapi.json of a folder against the official
// schemas of OpenAPI 3.1 and AsyncAPI 3.0: node validate.mjs <folder>

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { Validator } from '@seriousme/openapi-schema-validator';
import Ajv from 'ajv';
import addFormats from 'ajv-formats';

const folder = process.argv[2];
if (!folder) {
  console.error('usage: validate.mjs <folder>');
  process.exit(64);
}

const read = (name) => JSON.parse(readFileSync(join(folder, name), 'utf8'));

async function openapi(document) {
  const { valid, errors } = await new Validator().validate(document);
  return valid ? null : errors;
}

async function asyncapi(document) {
  const require = createRequire(import.meta.url);
  const schema = require(`@asyncapi/specs/schemas/${document.asyncapi}-without-$id.json`);
  // AsyncAPI's schema leans on keywords of its own and on patterns without the u flag.
  const ajv = new Ajv({ strict: false, allErrors: true, unicodeRegExp: false });
  addFormats(ajv);
  const validate = ajv.compile(schema);
  return validate(document) ? null : validate.errors;
}

let failed = 0;
for (const [name, errorsOf] of [['openapi.json', openapi], ['asyncapi.json', asyncapi]]) {
  const document = read(name);
  const errors = await errorsOf(document);
  if (errors) {
    failed += 1;
    console.error(`${name}:`, JSON.stringify(errors, null, 2).slice(0, 10_000));
  } else {
    console.log(`${name}: valid`);
  }
  // A validator that takes anything would be no check: this one is wrong.
  const wrong = { ...document, info: { ...document.info, version: undefined, title: 7 } };
  if (!(await errorsOf(JSON.parse(JSON.stringify(wrong))))) {
    failed += 1;
    console.error(`${name}: a wrong document was taken for valid`);
  }
}
process.exit(failed === 0 ? 0 : 1);
