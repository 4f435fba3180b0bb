// A shelf in memory behind the npm package @raprincis/service-broker 1.0.1; see docs/conformance.md.
// Run it in a folder where that package is installed: PORT and ASYNC=1 are read from the environment.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import path from "node:path";

const require = createRequire(path.join(process.cwd(), "package.json"));
const express = require("express");
const entry = path.join(process.cwd(), "node_modules/@raprincis/service-broker/build/index.js");
const { OsbApiBroker, OsbService, BrokerError } = await import(pathToFileURL(entry));

const password = process.env.ALIBROKER_CONFORMANCE_PASSWORD;
const instances = new Map();
const bindings = new Map();

class Shelf extends OsbService {
  provision(request) {
    super.provision(request);
    this.getPlan(request.plan_id);
    const wanted = JSON.stringify([request.plan_id, request.organization_guid, request.space_guid]);
    const known = instances.get(request.instance_id);
    if (known && known.wanted !== wanted) throw new BrokerError("Conflict", "It is another one.");
    const instance = known ?? { wanted, polls: 3, plan_id: request.plan_id };
    instances.set(request.instance_id, instance);
    const asynchronous = process.env.ASYNC && request.accepts_incomplete === "true";
    return asynchronous ? { operation: `create-${request.instance_id}` } : {};
  }

  deprovision(request) {
    if (!instances.delete(request.instance_id)) throw new BrokerError("Gone", "There is none.");
  }

  fetchInstance(request) {
    const known = instances.get(request.instance_id);
    if (!known) throw new BrokerError("NotFound", "There is none.");
    return { service_id: this.configuration.id, plan_id: known.plan_id };
  }

  getInstanceLastOperation(request) {
    const known = instances.get(request.instance_id);
    if (!known) throw new BrokerError("NotFound", "There is none.");
    known.polls -= 1;
    return { state: known.polls > 0 ? "in progress" : "succeeded" };
  }

  bindInstance(request) {
    super.bindInstance(request);
    // Which instance is meant the package does not tell.
    const app = request.bind_resource?.app_guid;
    const known = bindings.get(request.binding_id);
    if (known && known.app !== app) throw new BrokerError("Conflict", "It is another one.");
    const binding = known ?? { app, credentials: { key: `key-of-${request.binding_id}` } };
    bindings.set(request.binding_id, binding);
    return { credentials: binding.credentials };
  }

  unbindInstance(request) {
    if (!bindings.delete(request.binding_id)) throw new BrokerError("Gone", "There is none.");
  }

  fetchBinding(request) {
    const known = bindings.get(request.binding_id);
    if (!known) throw new BrokerError("NotFound", "There is none.");
    return { credentials: known.credentials };
  }
}

const shelf = new Shelf({
  id: "shelf",
  name: "shelf",
  description: "Shelves",
  bindable: true,
  instances_retrievable: true,
  bindings_retrievable: true,
  plans: [{ id: "shelf-plan", name: "small", description: "A small shelf", free: true }],
});
const broker = OsbApiBroker.create({
  withAuthentication: "Basic " + Buffer.from(`platform:${password}`).toString("base64"),
  services: [shelf],
});
const server = express().use(broker.handler).listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
