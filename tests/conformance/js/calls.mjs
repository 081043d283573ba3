// Calls of AWS's JavaScript clients, one for each line of JSON that comes in; each is answered with a line of JSON.
// Nothing is configured here beyond what a line says: region, keys and endpoint come from the environment, as they do
// for anybody's program.

import { createInterface } from "node:readline";
import * as ecs from "@aws-sdk/client-ecs";
import * as elbv2 from "@aws-sdk/client-elastic-load-balancing-v2";

const packages = {
  ecs: { exports: ecs, Client: ecs.ECSClient },
  elbv2: { exports: elbv2, Client: elbv2.ElasticLoadBalancingV2Client },
};
const clients = new Map();

function clientOf({ service, config = {} }) {
  const key = service + JSON.stringify(config);
  if (!clients.has(key)) clients.set(key, new packages[service].Client(config));
  return clients.get(key);
}

// `send`: one command. `wait`: waitUntil..., `state`: waitFor..., which never throws for how it ended.
// `pages`: all of a paginator's pages, the number of pages with them.
const kinds = {
  send: (exports, client, { name, input }) => client.send(new exports[`${name}Command`](input)),
  wait: (exports, client, { name, input, options }) => exports[`waitUntil${name}`]({ client, ...options }, input),
  state: (exports, client, { name, input, options }) => exports[`waitFor${name}`]({ client, ...options }, input),
  pages: async (exports, client, { name, input, options }) => {
    const pages = [];
    for await (const page of exports[`paginate${name}`]({ client, ...options }, input)) pages.push(page);
    return { pages };
  },
};

// Of which of the package's own classes an error is: what `instanceof` in a program would say.
function classesOf(exports, error) {
  return Object.entries(exports)
    .filter(([, one]) => typeof one === "function" && one.prototype instanceof Error && error instanceof one)
    .map(([name]) => name)
    .sort();
}

function told(exports, error) {
  const { name, message, $fault: fault, $metadata: metadata } = error;
  return { name, message, fault, metadata, classes: classesOf(exports, error), throttling: error.$retryable?.throttling };
}

async function answer(asked) {
  const { exports } = packages[asked.service];
  try {
    return { value: await kinds[asked.kind](exports, clientOf(asked), asked) };
  } catch (error) {
    return { error: told(exports, error) };
  }
}

// A time comes as { "date": milliseconds }: the client sends it to the millisecond.
const toTimes = (_, value) => (typeof value?.date === "number" ? new Date(value.date) : value);

for await (const line of createInterface({ input: process.stdin })) {
  const answered = await answer(JSON.parse(line, toTimes));
  // An error among what a waiter saw says its name and text, which JSON alone would drop.
  const shown = (_, value) => (value instanceof Error ? { name: value.name, message: value.message } : value);
  process.stdout.write(`${JSON.stringify(answered, shown)}\n`);
}
