// What a deployment with the official GitHub action is to the API: the calls of amazon-ecs-deploy-task-definition, in
// its order and with its parameters, what is empty among them included, by the same client in the same retry mode.
// Its inputs come as one document of JSON on stdin; its outcome goes to stdout as { outputs } or { outputs, failed }.
// Only its waits are shorter where the inputs say so: `minDelay`, in seconds.

import { text } from "node:stream/consumers";
import { ECS, waitUntilServicesStable, waitUntilTasksStopped } from "@aws-sdk/client-ecs";

const READ_ONLY = [
  "compatibilities", "taskDefinitionArn", "requiresAttributes", "revision", "status", "registeredAt", "deregisteredAt",
  "registeredBy",
];
const outputs = {};

function isEmpty(value) {
  if (value === null || value === undefined || value === "") return true;
  return typeof value === "object" && Object.values(value).every(isEmpty);
}

// As described, without what is empty anywhere in it and without what only DescribeTaskDefinition says.
function toRegister(described) {
  const kept = JSON.parse(
    JSON.stringify(described, (_, value) => {
      if (isEmpty(value)) return undefined;
      return Array.isArray(value) ? value.filter((one) => !isEmpty(one)) : value;
    }),
  );
  for (const name of READ_ONLY) delete kept[name];
  for (const container of kept.containerDefinitions ?? [])
    for (const variable of container.environment ?? []) variable.value ??= "";
  return kept;
}

function primaryOf(service) {
  return (service.deployments ?? []).find((one) => one.status === "PRIMARY")?.id ?? null;
}

function waiting(client, inputs) {
  const { minDelay = 15, maxDelay, waitForMinutes = 30 } = inputs;
  return { client, minDelay, maxWaitTime: waitForMinutes * 60, ...(maxDelay ? { maxDelay } : {}) };
}

async function runTask(ecs, inputs, taskDefinition) {
  const { cluster, subnets = [], securityGroups = [], capacityProviderStrategy = [] } = inputs;
  const awsvpc = {};
  if (subnets.length) awsvpc.subnets = subnets;
  if (securityGroups.length) awsvpc.securityGroups = securityGroups;
  if (Object.keys(awsvpc).length) awsvpc.assignPublicIp = inputs.assignPublicIp ?? "DISABLED";
  const started = await ecs.runTask({
    startedBy: inputs.startedBy ?? "GitHub-Actions",
    cluster,
    taskDefinition,
    overrides: { containerOverrides: inputs.containerOverrides ?? [] },
    capacityProviderStrategy: capacityProviderStrategy.length ? capacityProviderStrategy : null,
    launchType: capacityProviderStrategy.length ? null : "FARGATE",
    networkConfiguration: Object.keys(awsvpc).length ? { awsvpcConfiguration: awsvpc } : null,
    enableECSManagedTags: inputs.enableECSManagedTags ?? null,
    tags: inputs.runTaskTags ?? [],
    volumeConfigurations: [],
  });
  const tasks = started.tasks.map((task) => task.taskArn);
  outputs["run-task-arn"] = tasks;
  if (started.failures?.length) throw new Error(`${started.failures[0].arn} is ${started.failures[0].reason}`);
  if (!inputs.waitForTaskStopped) return;
  await waitUntilTasksStopped(waiting(ecs, inputs), { cluster, tasks });
  const ended = await ecs.describeTasks({ cluster, tasks });
  const failed = ended.tasks.flatMap((task) => task.containers).filter((container) => container.exitCode !== 0);
  if (failed.length) throw new Error(`Run task failed: ${JSON.stringify(failed.map((one) => one.reason))}`);
}

async function updateService(ecs, inputs, taskDefinition, before) {
  const { cluster, service, desiredCount } = inputs;
  const asked = {
    cluster,
    service,
    taskDefinition,
    forceNewDeployment: inputs.forceNewDeployment ?? false,
    enableECSManagedTags: inputs.enableECSManagedTags ?? null,
    propagateTags: inputs.propagateTags ?? null,
    volumeConfigurations: [],
  };
  if (desiredCount !== undefined) asked.desiredCount = desiredCount;
  const updated = await ecs.updateService(asked);
  const made = primaryOf(updated.service);
  if (!inputs.waitForServiceStability) return;
  await waitUntilServicesStable(waiting(ecs, inputs), { services: [service], cluster });
  if (!made || made === before) return;
  const [verified] = (await ecs.describeServices({ services: [service], cluster })).services;
  const deployment = (verified.deployments ?? []).find((one) => one.id === made);
  if (!deployment) throw new Error(`Deployment ${made} not found after stabilization`);
  if (deployment.rolloutState === "FAILED")
    throw new Error(`Deployment ${made} FAILED: ${deployment.rolloutStateReason}`);
  outputs.rolloutState = deployment.rolloutState;
}

async function deploy(inputs) {
  const ecs = new ECS({
    customUserAgent: "amazon-ecs-deploy-task-definition-for-github-actions",
    maxAttempts: inputs.maxRetries ?? 3,
    retryMode: "standard",
  });
  const registered = await ecs.registerTaskDefinition(toRegister(inputs.taskDefinition));
  const taskDefinition = registered.taskDefinition.taskDefinitionArn;
  outputs["task-definition-arn"] = taskDefinition;
  if (inputs.runTask) await runTask(ecs, inputs, taskDefinition);
  if (!inputs.service) return;
  const described = await ecs.describeServices({ services: [inputs.service], cluster: inputs.cluster });
  if (described.failures?.length) throw new Error(`${described.failures[0].arn} is ${described.failures[0].reason}`);
  const [service] = described.services;
  if (service.status !== "ACTIVE") throw new Error(`Service is ${service.status}`);
  const controller = service.deploymentController?.type ?? "ECS";
  if (controller !== "ECS") throw new Error(`Unsupported deployment controller: ${controller}`);
  await updateService(ecs, inputs, taskDefinition, primaryOf(service));
}

let failed;
try {
  await deploy(JSON.parse(await text(process.stdin)));
} catch (error) {
  failed = error.message;
}
process.stdout.write(JSON.stringify({ outputs, failed }));
